//! What else decides how long an entry lives: idle time, `set_ttl`, `touch`, jitter.

use std::time::Duration;

use nori_cache::{Cache, CacheBuilder, Clock, ManualClock, Ttl, Update};

pub(crate) const MS: Duration = Duration::from_millis(1);

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn after(millis: u64) -> Option<Ttl> {
    Some(Ttl::After(ms(millis)))
}

/// A builder on a clock that stands still until told.
pub(crate) fn manual<V>() -> (ManualClock, CacheBuilder<u64, V>) {
    let clock = ManualClock::new();
    let builder = Cache::builder().clock(clock.clone());
    (clock, builder)
}

// ---- idle time -------------------------------------------------------------------------------------------------

/// Whether an entry with an idle time of 160 ms is there at its end, after this at half of it.
fn outlives(look: impl Fn(&Cache<u64, u64>)) -> bool {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(ms(160)).build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    clock.advance(ms(80));
    look(&cache);
    clock.advance(ms(80));
    assert!(!cache.contains_key(&2), "what nobody looks at goes");
    let there = cache.contains_key(&1);
    clock.advance(ms(79));
    assert_eq!(cache.contains_key(&1), there);
    clock.advance(MS);
    assert!(!cache.contains_key(&1), "in the end it goes all the same");
    assert_eq!(cache.purge_expired(), 2);
    there
}

#[test]
fn which_calls_restart_the_idle_time() {
    assert!(outlives(|cache| assert_eq!(cache.get(&1), Some(1))));
    assert!(outlives(|cache| assert_eq!(
        cache.get_with(&1, |it| *it),
        Some(1)
    )));
    assert!(outlives(|cache| assert_eq!(
        cache.get_many(&[1, 3]),
        [Some(1), None]
    )));
    assert!(outlives(|cache| assert!(cache.touch(&1))));
    assert!(outlives(|cache| _ = cache.insert(1, 2)));
    assert!(outlives(|cache| assert!(
        cache.update(1, |_| Update::Set(3))
    )));
}

#[test]
fn which_calls_do_not() {
    assert!(!outlives(|_| ()));
    assert!(!outlives(|cache| assert_eq!(cache.peek(&1), Some(1))));
    assert!(!outlives(|cache| assert!(cache.contains_key(&1))));
    assert!(!outlives(|cache| assert_eq!(cache.ttl(&1), after(80))));
    assert!(!outlives(|cache| assert_eq!(cache.iter().count(), 2)));
    assert!(!outlives(|cache| cache.retain(|_, _| true)));
    assert!(!outlives(|cache| assert!(
        !cache.update(1, |_| Update::Keep)
    )));
    assert!(!outlives(|cache| assert!(cache.set_ttl(&1, ms(1_000)))));
}

#[test]
fn what_has_been_idle_is_gone_for_every_call() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(MS).build().unwrap();
    (0..6).for_each(|n| _ = cache.insert(n, n));
    assert_eq!(cache.ttl(&0), after(1));
    clock.advance(MS);
    assert_eq!((cache.get(&0), cache.peek(&0)), (None, None));
    assert_eq!(cache.get_with(&0, |v| *v), None);
    assert_eq!(cache.get_many(&[0, 1]), [None, None]);
    assert!(!cache.contains_key(&0) && !cache.touch(&0) && !cache.set_ttl(&0, Ttl::Never));
    assert_eq!((cache.ttl(&0), cache.iter().count()), (None, 0));
    assert_eq!((cache.take(&1), cache.remove(&2)), (None, false));
    assert!(cache.update(3, |old| Update::Set(old.map_or(30, |_| unreachable!()))));
    cache.retain(|&key, _| key == 3);
    assert_eq!((cache.len(), cache.get(&3)), (1, Some(30)));
    assert_eq!(cache.stats().expirations, 6);
}

#[test]
fn reads_in_quick_succession_restart_it_once_in_a_sixteenth() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(ms(1_600)).build().unwrap();
    cache.insert(1, 1);
    let left = |millis: u64| {
        clock.advance(ms(millis));
        assert_eq!(cache.get(&1), Some(1));
        cache.ttl(&1)
    };
    assert_eq!(left(99), after(1_501));
    assert_eq!(left(1), after(1_600));
    assert_eq!(left(99), after(1_501));
    assert_eq!(left(100), after(1_600));
    // However often it is read, fifteen sixteenths are left.
    for _ in 0..1_000 {
        let left = left(7);
        assert!((1_500..=1_600).any(|it| left == after(it)), "{left:?}");
    }
}

#[test]
fn with_a_time_to_live_the_earlier_end_counts() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(ms(250)).time_to_idle(ms(100)).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, ms(50));
    cache.insert_with_ttl(3, 3, Ttl::Never);
    assert_eq!(cache.ttl(&2), after(50));
    clock.advance(ms(50));
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(1), None, Some(3)]);
    clock.advance(ms(99));
    assert_eq!(cache.get_many(&[1, 3]), [Some(1), Some(3)]);
    clock.advance(ms(99));
    assert_eq!(cache.ttl(&1), after(1), "left of its idle time");
    assert_eq!(cache.get_many(&[1, 3]), [Some(1), Some(3)]);
    assert_eq!(cache.ttl(&1), after(2), "left of its time to live");
    clock.advance(2 * MS);
    assert_eq!(cache.get_many(&[1, 3]), [None, Some(3)]);
    // What keeps the time to live keeps that, and not the idle time.
    cache.insert(1, 1);
    clock.advance(ms(90));
    assert!(cache.update(1, |_| Update::Set(2)));
    assert_eq!(cache.ttl(&1), after(100));
    clock.advance(ms(90));
    assert_eq!(cache.get(&1), Some(2));
    assert_eq!(cache.ttl(&1), after(70));
    // Some of the others a write may have come across.
    cache.purge_expired();
    assert_eq!(cache.len(), 1);
}

/// The first entry with a time to live comes when the cache has had none.
#[test]
fn a_time_to_live_of_one_entry_counts_beside_an_idle_time() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.time_to_idle(ms(100)).build().unwrap();
    cache.insert(1, 1);
    assert!(cache.set_ttl(&1, ms(120)));
    clock.advance(ms(60));
    assert_eq!(cache.get(&1), Some(1));
    assert_eq!(cache.ttl(&1), after(60));
    clock.advance(ms(60));
    assert_eq!((cache.get(&1), cache.peek(&1)), (None, None));
    assert_eq!((cache.stats().hits, cache.stats().misses), (1, 1));
}

#[test]
fn idle_entries_make_room_before_others() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder
        .max_keys(100)
        .shards(1)
        .time_to_idle(ms(100))
        .build()
        .unwrap();
    (0..100).for_each(|n| _ = cache.insert(n, n));
    clock.advance(ms(99));
    (0..50).for_each(|n| assert_eq!(cache.get(&n), Some(n)));
    clock.advance(MS);
    (100..150).for_each(|n| _ = cache.insert(n, n));
    assert!((0..50).chain(100..150).all(|n| cache.contains_key(&n)));
    let stats = cache.stats();
    assert_eq!((stats.expirations, stats.evictions), (50, 0));
}

/// With the system's clock, and one that a thread reads: an idle time of weeks does not end, one of a millisecond does.
#[test]
fn idle_times_of_other_clocks() {
    for clock in [Clock::system(), Clock::ticking(MS)] {
        let build = |idle: Duration| {
            let builder = Cache::<u64, u64>::builder().clock(clock.clone());
            builder.time_to_idle(idle).build().unwrap()
        };
        let (long, short) = (build(Duration::from_secs(1 << 20)), build(MS));
        long.insert(1, 1);
        short.insert(1, 1);
        while short.contains_key(&1) {
            std::thread::yield_now();
        }
        assert_eq!((short.get(&1), long.get(&1)), (None, Some(1)));
    }
}

// ---- set_ttl, touch --------------------------------------------------------------------------------------------

#[test]
fn set_ttl_shortens_and_prolongs() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(ms(100)).build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    cache.insert(3, 3);
    assert!(
        cache.set_ttl(&1, ms(10)) && cache.set_ttl(&2, ms(1_000)) && cache.set_ttl(&3, Ttl::Never)
    );
    assert!(!cache.set_ttl(&4, ms(1_000)), "no entry is made");
    assert_eq!(
        [1, 2, 3].map(|key| cache.ttl(&key)),
        [after(10), after(1_000), Some(Ttl::Never)]
    );
    clock.advance(ms(10));
    assert_eq!(cache.get_many(&[1, 2, 3]), [None, Some(2), Some(3)]);
    assert_eq!(cache.purge_expired(), 1, "what was shortened is found");
    clock.advance(ms(500));
    assert_eq!(cache.purge_expired(), 0);
    assert!(cache.set_ttl(&2, ms(1)) && cache.set_ttl(&3, ms(2)));
    clock.advance(MS);
    assert_eq!(cache.purge_expired(), 1);
    clock.advance(MS);
    assert_eq!(cache.purge_expired(), 1);
    assert!(cache.is_empty());
}

#[test]
fn set_ttl_of_zero_removes() {
    let cache: Cache<u64, u64> = Cache::new(10);
    cache.insert(1, 1);
    assert!(cache.set_ttl(&1, Duration::ZERO));
    assert!(cache.is_empty() && !cache.set_ttl(&1, Duration::ZERO));
}

/// The first deadline of a cache that has had none.
#[test]
fn set_ttl_of_what_lives_for_ever() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.build().unwrap();
    cache.insert(1, 1);
    cache.insert(2, 2);
    assert!(cache.touch(&1) && cache.set_ttl(&1, ms(5)));
    clock.advance(ms(5));
    assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
    assert_eq!((cache.purge_expired(), cache.len()), (1, 1));
}

#[test]
fn what_has_expired_is_not_brought_back() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.ttl(ms(10)).build().unwrap();
    cache.insert(1, 1);
    clock.advance(ms(10));
    assert_eq!(cache.len(), 1, "no write has taken it out");
    assert!(!cache.touch(&1) && !cache.set_ttl(&1, Ttl::Never) && !cache.touch(&1));
    assert_eq!((cache.get(&1), cache.ttl(&1)), (None, None));
    assert_eq!(cache.purge_expired(), 0, "the calls above have seen to it");
    assert_eq!((cache.len(), cache.stats().expirations), (0, 1));
}

#[test]
fn touch_restarts_the_lifetime_from_the_cache_s_own() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(2).shards(1).ttl(ms(100)).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with_ttl(2, 2, ms(1_000));
    clock.advance(ms(60));
    assert!(cache.touch(&2) && cache.touch(&1));
    assert_eq!((cache.ttl(&1), cache.ttl(&2)), (after(100), after(100)));
    // A use, for eviction; and none that is counted.
    cache.insert(3, 3);
    assert_eq!(cache.get_many(&[1, 2, 3]), [Some(1), None, Some(3)]);
    assert_eq!((cache.stats().hits, cache.stats().inserts), (2, 3));
}

/// What the slot's next entry is filed under is not what was shortened, and the other way round.
#[test]
fn slots_that_are_used_again_are_filed_anew() {
    let (clock, builder) = manual();
    let cache: Cache<u64, u64> = builder.max_keys(4).shards(1).build().unwrap();
    for round in 0..200_u64 {
        for key in 0..4 {
            cache.insert_with_ttl(key, round, ms(10 + (round * 7 + key * 13) % 50));
            assert!(cache.set_ttl(&key, ms(1 + (round * 11 + key * 5) % 60)));
            if (round + key) % 3 == 0 {
                assert!(cache.set_ttl(&key, Ttl::Never) && cache.set_ttl(&key, ms(30)));
            }
        }
        clock.advance(ms(round % 70));
        let live = cache.iter().count();
        cache.purge_expired();
        assert_eq!(cache.len(), live);
    }
}

// ---- jitter ----------------------------------------------------------------------------------------------------

#[test]
fn jitter_is_a_share_from_zero_to_one() {
    for share in [-0.1, 1.1, f64::NAN, f64::INFINITY, -f64::MIN_POSITIVE] {
        let error = Cache::<u64, u64>::builder()
            .ttl_jitter(share)
            .build()
            .unwrap_err();
        assert!(error.is_invalid_config());
        let expected = format!("ttl_jitter is {share}; it must be a share from 0 to 1");
        assert_eq!(error.to_string(), expected);
    }
    for share in [0.0, -0.0, 0.1, 1.0] {
        assert!(
            Cache::<u64, u64>::builder()
                .ttl_jitter(share)
                .build()
                .is_ok()
        );
    }
    let error = Cache::<u64, u64>::builder()
        .time_to_idle(Duration::ZERO)
        .build()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "time_to_idle is zero; it must be longer than zero, or Ttl::Never"
    );
}

#[test]
fn jitter_shortens_what_begins_and_nothing_else() {
    let lives = |seed: u64| {
        let (_clock, builder) = manual();
        let cache: Cache<u64, u64, _> = builder
            .ttl(ms(1_000))
            .ttl_jitter(0.2)
            .hasher(ahash::RandomState::with_seeds(seed, 2, 3, 4))
            .build()
            .unwrap();
        let left = |key| match cache.ttl(&key) {
            Some(Ttl::After(left)) => left.as_millis(),
            other => panic!("{other:?}"),
        };
        (0..500).for_each(|n| _ = cache.insert(n, n));
        let lives: Vec<_> = (0..500).map(left).collect();
        assert!(lives.iter().all(|it| (800..=1_000).contains(it)));
        assert!(lives.iter().any(|&it| it < 850) && lives.iter().any(|&it| it > 950));
        // A lifetime that goes on is not shortened again.
        for n in 0..500 {
            assert!(cache.update(n, |_| Update::Set(n)));
        }
        assert_eq!((0..500).map(left).collect::<Vec<_>>(), lives);
        (0..500).for_each(|n| assert!(cache.set_ttl(&n, ms(100))));
        assert!((0..500).map(left).all(|it| (80..=100).contains(&it)));
        (0..500).for_each(|n| assert!(cache.touch(&n)));
        assert!((0..500).map(left).all(|it| (800..=1_000).contains(&it)));
        cache.insert_with_ttl(0, 0, Ttl::Never);
        assert_eq!(cache.ttl(&0), Some(Ttl::Never));
        lives
    };
    assert_eq!(lives(1), lives(1), "the same each time");
    assert_ne!(lives(1), lives(2));
}
