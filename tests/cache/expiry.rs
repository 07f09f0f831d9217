//! Time to live: deadlines to the millisecond, and which entries go when.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::Rng;
use nori_cache::{Cache, CacheBuilder, ManualClock, Ttl, Update};

const MS: Duration = Duration::from_millis(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A builder on a clock that stands still until told.
fn manual<V>() -> (ManualClock, CacheBuilder<u64, V>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().clock(clock.clone());
    (clock, builder)
}

// ---- deadlines -------------------------------------------------------------------------------------------------

#[test]
fn an_entry_is_gone_at_its_deadline_for_every_call() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.build().unwrap();
    let fill = || {
        for n in 0..5 {
            cache.insert_with_ttl(n, n, MS);
        }
    };
    fill();
    assert_eq!(cache.get_many(&[0, 1, 2, 3, 4]), [0, 1, 2, 3, 4].map(Some));
    assert_eq!(cache.ttl(&0), Some(Ttl::After(MS)));

    clock.advance(MS);
    assert_eq!(cache.get(&0), None);
    assert_eq!(cache.get_with(&0, |v| *v), None);
    assert_eq!(cache.peek(&0), None);
    assert!(!cache.contains_key(&0));
    assert_eq!(cache.ttl(&0), None);
    assert_eq!(cache.get_many(&[0, 1]), [None, None]);
    assert_eq!(cache.iter().count(), 0);
    assert_eq!(cache.take(&1), None);
    assert!(!cache.remove(&2), "nothing live was removed");
    cache.retain(|k, _| panic!("retain saw {k}, which has expired"));
    assert_eq!(cache.len(), 0, "retain leaves no expired entry behind");

    fill();
    assert_eq!(cache.get_many(&[0, 1, 2, 3, 4]), [0, 1, 2, 3, 4].map(Some));
}

#[test]
fn deadlines_are_exact_to_the_millisecond_from_one_to_years() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(1_000).build().unwrap();
    // Both sides of every power of two, where the levels of a timer wheel meet, and of a year.
    let mut ttls: Vec<u64> = (0..38)
        .flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, (1 << bit) + 1])
        .chain([YEAR, 8 * YEAR].map(|d| d.as_millis() as u64))
        .filter(|&ms| ms > 0)
        .collect();
    ttls.sort_unstable();
    ttls.dedup();
    for &ms in &ttls {
        cache.insert_with_ttl(ms, ms, Duration::from_millis(ms));
    }
    let mut now = 0;
    for (i, &ms) in ttls.iter().enumerate() {
        clock.advance(Duration::from_millis(ms - 1 - now));
        now = ms - 1;
        assert_eq!(cache.peek(&ms), Some(ms), "1 ms before its deadline");
        assert_eq!(cache.ttl(&ms), Some(Ttl::After(MS)));
        clock.advance(MS);
        now += 1;
        assert_eq!(cache.peek(&ms), None, "at its deadline");
        // Writes turn the wheel, now and then a purge; nothing later may go with it.
        match i % 3 {
            0 => _ = cache.insert(0, 0),
            1 => drop(cache.purge_expired()),
            _ => {}
        }
        for &later in &ttls[i + 1..] {
            assert!(cache.contains_key(&later), "{later} gone at {now}");
        }
    }
    cache.purge_expired();
    assert_eq!(cache.iter().map(|(k, _)| k).collect::<Vec<_>>(), [0]);
    assert_eq!(cache.len(), 1);
}

#[test]
fn random_ttls_expire_in_order_while_writes_go_on() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(4_000).shards(4).build().unwrap();
    let mut rng = Rng(7);
    let mut now = 0;
    // A random walk through time with strides of 0 ms to hours; each entry's value is its deadline.
    for round in 0..400_u64 {
        for _ in 0..10 {
            let ms = 1 + rng.next() % (1 << (1 + rng.below(33)));
            cache.insert_with_ttl(rng.below(3_000), now + ms, Duration::from_millis(ms));
        }
        let stride = rng.next() % (1 << rng.below(24));
        clock.advance(Duration::from_millis(stride));
        now += stride;
        if round % 7 == 0 {
            cache.purge_expired();
        }
        for _ in 0..10 {
            if let Some(deadline) = cache.get(&rng.below(3_000)) {
                assert!(deadline > now, "read {deadline} at {now}");
            }
        }
        for (key, deadline) in cache.iter() {
            assert!(deadline > now, "{key} came {} late", now - deadline);
            let left = Duration::from_millis(deadline - now);
            assert_eq!(cache.ttl(&key), Some(Ttl::After(left)));
        }
    }
    let live = cache.iter().count();
    cache.purge_expired();
    assert_eq!(cache.len(), live);
    assert!(live > 100, "the walk left something to check: {live}");
}

#[test]
fn the_remaining_ttl_counts_down() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(Duration::from_secs(300)).build().unwrap();
    assert_eq!(cache.ttl(&1), None);
    cache.insert(1, 1);
    clock.advance(Duration::from_millis(100_001));
    assert_eq!(
        cache.ttl(&1),
        Some(Ttl::After(Duration::from_millis(199_999)))
    );
    cache.insert(1, 2);
    assert_eq!(cache.ttl(&1), Some(Ttl::After(Duration::from_secs(300))));
    cache.insert_with_ttl(1, 3, Ttl::Never);
    assert_eq!(cache.ttl(&1), Some(Ttl::Never));
}

#[test]
fn a_read_does_not_extend_a_life() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(10 * MS).build().unwrap();
    cache.insert(1, 1);
    for _ in 0..9 {
        clock.advance(MS);
        assert_eq!(cache.get(&1), Some(1));
    }
    clock.advance(MS);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_write_gives_a_new_deadline_and_the_old_one_is_forgotten() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.build().unwrap();
    cache.insert_with_ttl(1, 1, 10 * MS);
    cache.insert_with_ttl(1, 2, 1_000 * MS);
    cache.insert_with_ttl(2, 1, 1_000 * MS);
    cache.insert_with_ttl(2, 2, 10 * MS);
    cache.insert_with_ttl(3, 1, 10 * MS);
    cache.insert_with_ttl(3, 2, Ttl::Never);
    clock.advance(10 * MS);
    assert_eq!(cache.purge_expired(), 1);
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(2), None, Some(2)]);
    clock.advance(990 * MS);
    assert_eq!(cache.purge_expired(), 1);
    assert_eq!(cache.get_many(&[1, 2, 3]), [None, None, Some(2)]);
}

#[test]
fn a_zero_ttl_stores_nothing_and_removes_what_was_there() {
    let (_clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.build().unwrap();
    cache.insert_with_ttl(1, 1, Duration::ZERO);
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.len(), 0);
    cache.insert(1, 1);
    cache.insert_with_ttl(1, 2, Ttl::After(Duration::ZERO));
    assert_eq!(cache.get(&1), None);
    assert_eq!(cache.len(), 0);
}

#[test]
fn a_ttl_below_the_resolution_is_not_zero() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.build().unwrap();
    cache.insert_with_ttl(1, 1, Duration::from_nanos(1));
    assert_eq!(cache.get(&1), Some(1));
    clock.advance(MS);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_duration_beyond_the_clock_means_never() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(Duration::MAX).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, Duration::from_secs(u64::MAX));
    clock.advance(100 * YEAR);
    cache.insert_with_ttl(3, 3, Duration::MAX);
    clock.advance(100 * YEAR);
    assert_eq!(cache.purge_expired(), 0);
    for n in 1..=3 {
        assert_eq!(cache.get(&n), Some(n));
        assert_eq!(cache.ttl(&n), Some(Ttl::Never));
    }
}

#[test]
fn a_manual_clock_adds_up_and_is_shared() {
    let clock = ManualClock::new();
    let one: Cache<u64, u64> = Cache::builder()
        .ttl(MS)
        .clock(clock.clone())
        .build()
        .unwrap();
    let two: Cache<u64, u64> = Cache::builder()
        .ttl(2 * MS)
        .clock(clock.clone())
        .build()
        .unwrap();
    one.insert(1, 1);
    two.insert(1, 1);
    clock.advance(Duration::from_micros(500));
    assert!(one.contains_key(&1));
    clock.clone().advance(Duration::from_micros(500));
    assert!(!one.contains_key(&1) && two.contains_key(&1));
    thread::scope(|scope| {
        scope.spawn(|| clock.advance(MS));
    });
    assert!(!two.contains_key(&1));
}

// ---- reclaim ---------------------------------------------------------------------------------------------------

#[test]
fn purge_expired_counts_and_removes() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(2_000).shards(8).build().unwrap();
    assert_eq!(cache.purge_expired(), 0);
    for n in 0..1_000 {
        cache.insert_with_ttl(n, n, Duration::from_millis(1 + n));
    }
    for n in 1_000..1_500 {
        cache.insert(n, n);
    }
    assert_eq!(cache.purge_expired(), 0);
    for (step, left) in [(1, 999), (99, 900), (0, 900), (500, 400), (399, 1), (1, 0)] {
        clock.advance(Duration::from_millis(step));
        let before = cache.len();
        let removed = cache.purge_expired();
        assert_eq!(cache.len(), 500 + left);
        assert_eq!(removed, before - cache.len());
    }
    assert_eq!(cache.stats().expirations, 1_000);
    assert_eq!(cache.stats().evictions, 0);
}

#[test]
fn expired_entries_go_before_live_ones_are_evicted() {
    // Also when the shard that needs room holds live entries only and the expired ones are elsewhere.
    for (max_keys, shards) in [(64, 1), (256, 4), (1_024, 16), (4_096, 8)] {
        let (clock, builder) = manual();
        let cache: Cache<u64, u64> = builder.max_keys(max_keys).shards(shards).build().unwrap();
        let half = max_keys as u64 / 2;
        // The live ones are the least recently used: only expiry may save them.
        for n in 0..half {
            cache.insert(n, n);
        }
        for n in half..2 * half {
            cache.insert_with_ttl(n, n, Duration::from_millis(1 + n % 50));
        }
        assert_eq!(cache.len(), max_keys);
        clock.advance(Duration::from_secs(1));
        for n in 2 * half..3 * half {
            cache.insert(n, n);
            assert_eq!(cache.get(&n), Some(n));
        }
        let lost = (0..half).filter(|n| !cache.contains_key(n)).count();
        assert_eq!(
            lost, 0,
            "live entries evicted; {max_keys} keys, {shards} shards"
        );
        assert_eq!(cache.len(), max_keys);
        let stats = cache.stats();
        assert_eq!((stats.evictions, stats.expirations), (0, half));
        // Now nothing has expired: the next one costs a live one.
        cache.insert(3 * half, 0);
        assert_eq!(cache.stats().evictions, 1);
    }
}

#[test]
fn one_expired_entry_anywhere_saves_every_live_one() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(512).shards(8).build().unwrap();
    for n in 0..511 {
        cache.insert(n, n);
    }
    for n in 511..1_500 {
        // The only entry that may go is the one that has just expired, wherever it lives.
        cache.insert_with_ttl(n, n, MS);
        assert_eq!(cache.stats().evictions, 0, "evicted at {n}");
        clock.advance(MS);
    }
    assert!((0..511).all(|n| cache.contains_key(&n)));
}

#[test]
fn an_expired_entry_is_found_among_many_that_are_due_soon() {
    // Thousands of deadlines far away and close together: at first they share a coarse place in any timer wheel.
    for (shards, gap) in [(1, 1), (1, 20), (8, 1), (8, 20)] {
        let (clock, builder) = manual();
        let cache: Cache<u64, u64> = builder.max_keys(10_000).shards(shards).build().unwrap();
        for n in 0..10_000 {
            // The first to expire is the most recently used, which nobody evicts by chance.
            let ttl = Duration::from_millis(270_000 + gap * (9_999 - n));
            cache.insert_with_ttl(n, n, ttl);
        }
        clock.advance(Duration::from_millis(270_000));
        // From now on exactly one entry has expired whenever a new one comes. A write looks at 1,024 entries for it, so that a
        // live one may go for each 1,024 that are sorted more finely, on three levels of the wheel.
        for n in 0..3_000 {
            cache.insert(10_000 + n, n);
            clock.advance(Duration::from_millis(gap));
        }
        let evictions = cache.stats().evictions;
        assert!(evictions <= 10_000 * 3 / 1_024, "{evictions} evictions");
        let lost = (0..6_999).filter(|n| !cache.contains_key(n)).count();
        assert!(lost as u64 <= cache.stats().evictions);
        assert!((10_000..13_000).all(|n| cache.contains_key(&n)));
    }
}

#[test]
fn a_leap_of_years_does_not_hide_what_expired() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(256).shards(4).build().unwrap();
    for n in 0..128 {
        cache.insert(n, n);
    }
    for n in 128..256 {
        cache.insert_with_ttl(n, n, Duration::from_secs(1 + n * n));
    }
    clock.advance(5 * YEAR);
    for n in 256..384 {
        cache.insert_with_ttl(n, n, MS);
    }
    assert!(
        (0..128).all(|n| cache.contains_key(&n)),
        "a live one was evicted"
    );
    clock.advance(MS);
    assert_eq!(cache.purge_expired(), 128);
    assert_eq!(cache.len(), 128);
}

#[test]
fn an_expired_key_can_be_inserted_again_at_a_full_house() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(100).shards(1).ttl(5 * MS).build().unwrap();
    for round in 0..20 {
        for n in 0..100 {
            cache.insert(n, round);
        }
        assert_eq!(cache.len(), 100);
        assert!((0..100).all(|n| cache.peek(&n) == Some(round)));
        clock.advance(5 * MS);
        assert!((0..100).all(|n| cache.peek(&n).is_none()));
    }
    assert_eq!(cache.stats().evictions, 0);
}

#[test]
fn no_thread_reads_what_has_expired() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(300).shards(4).build().unwrap();
    // What the clock shows at least: set after it has moved.
    let (shown, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|seed| {
                let (cache, shown, done) = (&cache, &shown, &done);
                scope.spawn(move || {
                    let mut rng = Rng(seed);
                    let mut hits = 0;
                    loop {
                        let last = done.load(Ordering::Acquire);
                        let key = rng.below(200);
                        let now = shown.load(Ordering::Acquire);
                        let deadlines = match rng.below(5) {
                            // Who comes late still sees something.
                            _ if last => cache.iter().map(|(_, at)| Some(at)).collect(),
                            0 => vec![cache.get(&key)],
                            1 => vec![cache.get_with(&key, |deadline| *deadline)],
                            2 => vec![cache.peek(&key)],
                            3 => cache.get_many(&[key, key + 1, key + 2]),
                            _ => cache.iter().map(|(_, deadline)| Some(deadline)).collect(),
                        };
                        for deadline in deadlines.into_iter().flatten() {
                            assert!(deadline > now, "read {} ms late", now - deadline);
                            hits += 1;
                        }
                        if last {
                            return hits;
                        }
                    }
                })
            })
            .collect();
        let mut rng = Rng(99);
        for now in 0..4_000 {
            for _ in 0..5 {
                let ms = 1 + rng.below(50);
                let (key, ttl) = (rng.below(200), Duration::from_millis(ms));
                if rng.below(2) == 0 {
                    cache.insert_with_ttl(key, now + ms, ttl);
                } else {
                    cache.update(key, |_| Update::SetWithTtl(now + ms, ttl.into()));
                }
            }
            clock.advance(MS);
            shown.store(now + 1, Ordering::Release);
        }
        done.store(true, Ordering::Release);
        let hits: u64 = readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .sum();
        assert!(hits > 0);
    });
}

// ---- the end of the clock --------------------------------------------------------------------------------------

#[test]
fn what_never_expires_outlives_the_clock() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(10).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, Duration::from_secs(1));
    clock.advance(Duration::from_millis(1 << 38));
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.get_many([&1, &2]), [Some(1), None]);
    assert_eq!(cache.iter().collect::<Vec<_>>(), [(1, 1)]);
    assert_eq!(cache.purge_expired(), 1);
    assert!(cache.remove(&1));
}
