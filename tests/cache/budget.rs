//! One global `max_keys`: nothing is lost below it, and nothing is held above it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{Constant, Identity, Rng};
use nori_cache::{Cache, ManualClock, Ttl, Update};

fn cache(max_keys: usize, shards: usize) -> Cache<u64, u64> {
    Cache::builder()
        .max_keys(max_keys)
        .shards(shards)
        .build()
        .unwrap()
}

/// Inserts `max_keys` keys from `first` on and checks that every one is there: no token was lost before. One more
/// insert then costs exactly one: no token was won either.
#[track_caller]
fn fills_exactly<S: std::hash::BuildHasher>(cache: &Cache<u64, u64, S>, first: u64) {
    let max_keys = cache.max_keys() as u64;
    let evicted = cache.stats().evictions;
    for key in first..first + max_keys {
        cache.insert(key, !key);
    }
    let lost = (first..first + max_keys).filter(|key| cache.peek(key) != Some(!key));
    assert_eq!(
        lost.count(),
        0,
        "max_keys {max_keys}, shards {}",
        cache.shards()
    );
    assert_eq!(cache.len() as u64, max_keys);
    assert_eq!(cache.stats().evictions, evicted);

    cache.insert(u64::MAX, 0);
    assert_eq!(cache.get(&u64::MAX), Some(0));
    assert_eq!(cache.len() as u64, max_keys);
    assert_eq!(cache.stats().evictions, evicted + 1);
    let left = (first..first + max_keys).filter(|key| cache.contains_key(key));
    assert_eq!(left.count() as u64, max_keys - 1);
}

// ---- filling ---------------------------------------------------------------------------------------------------

#[test]
fn exactly_max_keys_inserts_keep_every_one() {
    for max_keys in [1, 2, 7, 63, 64, 65, 100, 1_000, 10_000, 100_000] {
        fills_exactly(&Cache::<u64, u64>::new(max_keys), 0);
        for shards in [1, 2, 4, 16, 64] {
            if shards <= max_keys {
                fills_exactly(&cache(max_keys, shards), 0);
            }
        }
    }
}

#[test]
fn string_keys_fill_it_just_as_well() {
    for max_keys in [1, 100, 10_000] {
        let cache: Cache<String, usize> = Cache::new(max_keys);
        for n in 0..max_keys {
            cache.insert(format!("user:{n:011}:profile"), n);
        }
        for n in 0..max_keys {
            assert_eq!(cache.get(format!("user:{n:011}:profile").as_str()), Some(n));
        }
    }
}

#[test]
fn more_shards_than_keys_are_refused_or_share_the_budget() {
    for (max_keys, shards) in [(1, 2), (7, 8), (3, 64), (100, 1_024)] {
        match Cache::<u64, u64>::builder()
            .max_keys(max_keys)
            .shards(shards)
            .build()
        {
            Ok(cache) => fills_exactly(&cache, 0),
            Err(error) => {
                assert!(error.is_invalid_config());
                let text = error.to_string();
                assert!(text.contains(&shards.to_string()), "{text}");
            }
        }
    }
}

#[test]
fn replacing_takes_no_room() {
    for (max_keys, shards) in [(1, 1), (7, 2), (1_000, 8)] {
        let cache = cache(max_keys, shards);
        for round in 0..5 {
            for key in 0..max_keys as u64 {
                match round % 2 {
                    0 => _ = cache.insert(key, round),
                    _ => assert!(cache.update(key, |_| Update::Set(round))),
                }
            }
            assert_eq!(cache.len(), max_keys);
        }
        assert_eq!(cache.stats().evictions, 0);
        assert!((0..max_keys as u64).all(|key| cache.get(&key) == Some(4)));
    }
}

#[test]
fn one_shard_can_hold_the_whole_budget() {
    // A constant hash sends every key to one shard; then it must give them all up again.
    let one: Cache<u64, u64, Constant> = Cache::builder()
        .max_keys(300)
        .shards(8)
        .hasher(Constant(0))
        .build()
        .unwrap();
    fills_exactly(&one, 0);

    // Keys that differ in their low bits only, then in their high bits only: whichever of them choose the shard, the
    // tokens must follow.
    let skewed: Cache<u64, u64, Identity> = Cache::builder()
        .max_keys(500)
        .shards(8)
        .hasher(Identity)
        .build()
        .unwrap();
    for shift in [0, 52, 0, 24, 52] {
        for key in 0..500_u64 {
            skewed.insert((key + 1) << shift, key);
        }
        let lost = (0..500).filter(|key| skewed.get(&((key + 1) << shift)) != Some(*key));
        assert_eq!(lost.count(), 0, "shifted by {shift}");
        assert!(skewed.len() <= 500);
        for key in 0..500_u64 {
            assert!(skewed.remove(&((key + 1) << shift)));
        }
    }
    fills_exactly(&skewed, 1_000);
}

// ---- tokens come back ------------------------------------------------------------------------------------------

#[test]
fn every_way_to_remove_gives_the_room_back_to_any_shard() {
    type Empty = fn(&Cache<u64, u64>, std::ops::Range<u64>);
    let ways: [(&str, Empty); 8] = [
        ("remove", |c, keys| keys.for_each(|k| assert!(c.remove(&k)))),
        ("take", |c, keys| {
            keys.for_each(|k| assert_eq!(c.take(&k), Some(!k)))
        }),
        ("update", |c, keys| {
            keys.for_each(|k| assert!(c.update(k, |_| Update::Remove)));
        }),
        ("zero ttl", |c, keys| {
            keys.for_each(|k| _ = c.insert_with_ttl(k, 0, Duration::ZERO));
        }),
        ("update to a zero ttl", |c, keys| {
            let zero = Ttl::After(Duration::ZERO);
            keys.for_each(|k| assert!(c.update(k, |_| Update::SetWithTtl(0, zero))));
        }),
        ("retain", |c, _| c.retain(|_, _| false)),
        ("clear", |c, _| c.clear()),
        ("retain some, clear the rest", |c, keys| {
            c.retain(|k, _| k % 3 == 0);
            assert_eq!(c.len(), keys.filter(|k| k % 3 == 0).count());
            c.clear();
        }),
    ];
    for (max_keys, shards) in [(1, 1), (7, 1), (64, 4), (1_000, 8)] {
        let keys = max_keys as u64;
        for (way, empty) in ways {
            let cache = cache(max_keys, shards);
            for round in 0..3 {
                let first = round * keys;
                for key in first..first + keys {
                    cache.insert(key, !key);
                }
                assert_eq!(cache.len(), max_keys, "{way}, round {round}");
                empty(&cache, first..first + keys);
                assert_eq!(cache.len(), 0, "{way}, round {round}");
            }
            assert_eq!(cache.stats().evictions, 0, "{way}");
            fills_exactly(&cache, 1_000_000);
        }
    }
}

#[test]
fn half_removed_is_half_free() {
    let cache = cache(4_096, 16);
    for key in 0..4_096 {
        cache.insert(key, key);
    }
    for round in 1..20_u64 {
        // Half of the last round's keys and all the older ones make room for as many new ones.
        let last_round = (round - 1) * 4_096;
        let held = cache.iter().map(|(k, _)| k);
        let victims: Vec<_> = held.filter(|k| *k < last_round || k % 2 == 0).collect();
        for key in &victims {
            assert!(cache.remove(key));
        }
        assert_eq!(cache.len(), 4_096 - victims.len());
        for n in 0..victims.len() as u64 {
            cache.insert(round * 4_096 + n, n);
        }
        assert_eq!(cache.len(), 4_096);
        assert_eq!(cache.stats().evictions, 0, "round {round}");
    }
}

#[test]
fn expiry_gives_the_room_back_to_any_shard() {
    for (max_keys, shards) in [(1, 1), (7, 1), (64, 4), (1_000, 8), (10_000, 16)] {
        let clock = ManualClock::new();
        let cache: Cache<u64, u64> = Cache::builder()
            .max_keys(max_keys)
            .shards(shards)
            .clock(clock.clone())
            .build()
            .unwrap();
        for round in 0..4 {
            for key in 0..max_keys as u64 {
                let ttl = Duration::from_millis(1 + key % 97);
                cache.insert_with_ttl(round * 1_000_000 + key, 0, ttl);
            }
            assert_eq!(cache.len(), max_keys);
            assert_eq!(cache.stats().evictions, 0, "round {round}");
            clock.advance(Duration::from_millis(97));
            if round == 2 {
                assert_eq!(cache.purge_expired(), max_keys);
            }
        }
        fills_exactly(&cache, u64::MAX / 2);
    }
}

// ---- many writers ----------------------------------------------------------------------------------------------

#[test]
fn writers_side_by_side_fill_it_exactly() {
    for (max_keys, shards) in [(64, 1), (1_000, 8), (20_000, 16)] {
        let cache = cache(max_keys, shards);
        for round in 0..5 {
            thread::scope(|scope| {
                for writer in 0..4 {
                    let cache = &cache;
                    scope.spawn(move || {
                        for key in (writer..max_keys as u64).step_by(4) {
                            cache.insert(round << 32 | key, key);
                        }
                    });
                }
            });
            let lost = (0..max_keys as u64).filter(|k| cache.get(&(round << 32 | k)) != Some(*k));
            assert_eq!(
                lost.count(),
                0,
                "{max_keys} keys, {shards} shards, round {round}"
            );
            assert_eq!(cache.len(), max_keys);
            cache.clear();
        }
        assert_eq!(cache.stats().evictions, 0);
    }
}

#[test]
fn len_never_exceeds_max_keys_with_many_writers() {
    for (max_keys, shards) in [(1, 1), (10, 1), (500, 8), (500, 64)] {
        let clock = ManualClock::new();
        let cache: Cache<u64, u64> = Cache::builder()
            .max_keys(max_keys)
            .shards(shards)
            .clock(clock.clone())
            .build()
            .unwrap();
        let done = AtomicBool::new(false);
        let most = thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let mut most = 0;
                loop {
                    let last = done.load(Ordering::Acquire);
                    most = most.max(cache.len());
                    if last {
                        break most;
                    }
                    // The writers are to be watched, not kept from the processor.
                    thread::yield_now();
                }
            });
            let writers: Vec<_> = (0..4)
                .map(|seed| {
                    let (cache, clock) = (&cache, &clock);
                    scope.spawn(move || {
                        let mut rng = Rng(seed);
                        let span = 3 * max_keys as u64;
                        for _ in 0..8_000 {
                            let key = rng.below(span);
                            match rng.below(100) {
                                0..70 => _ = cache.insert(key, key),
                                70..80 => {
                                    let ttl = Duration::from_millis(1 + rng.below(5));
                                    _ = cache.insert_with_ttl(key, key, ttl);
                                }
                                80..86 => drop(cache.remove(&key)),
                                86..90 => drop(cache.take(&key)),
                                90..95 => drop(cache.update(key, |_| Update::Set(key))),
                                95..98 => clock.advance(Duration::from_millis(1)),
                                98 => cache.retain(|k, _| k % 5 != 0),
                                _ if rng.below(10) == 0 => cache.clear(),
                                _ => drop(cache.purge_expired()),
                            }
                            assert!(cache.len() <= max_keys);
                        }
                    })
                })
                .collect();
            let outcomes: Vec<_> = writers.into_iter().map(|w| w.join()).collect();
            done.store(true, Ordering::Release);
            assert!(outcomes.iter().all(Result::is_ok));
            watcher.join().unwrap()
        });
        assert!(most <= max_keys, "len() reached {most} of {max_keys}");

        // Quiet again: what it says it holds is what it holds, and all of the room is still there.
        cache.purge_expired();
        assert_eq!(cache.len(), cache.iter().count());
        cache.clear();
        fills_exactly(&cache, 0);
    }
}
