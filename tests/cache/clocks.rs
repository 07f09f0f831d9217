//! Clocks that a thread moves, and that the program moves.

use nori_cache::{Cache, Clock, ManualClock, Ttl};
use std::thread;
use std::time::Duration;

/// Whether key 1 is there, by one way to read it.
type Read = fn(&Cache<u64, u64>) -> bool;

fn cache(clock: impl Into<Clock>, ttl: Duration) -> Cache<u64, u64> {
    Cache::builder().ttl(ttl).clock(clock).build().unwrap()
}

/// By nothing but reads, of each kind; and what another cache has with the same clock.
#[test]
fn a_ticking_clock_ends_entries_that_are_only_read() {
    let clock = Clock::ticking(Duration::from_millis(1));
    let (one, other) = (
        cache(clock.clone(), Duration::from_millis(20)),
        cache(clock, Duration::from_secs(3600)),
    );
    other.insert(1, 1);
    let reads: [Read; 5] = [
        |cache| cache.get(&1).is_some(),
        |cache| cache.get_with(&1, |_| ()).is_some(),
        |cache| cache.peek(&1).is_some(),
        |cache| cache.contains_key(&1),
        |cache| cache.get_many([&1])[0].is_some(),
    ];
    for is_there in reads {
        one.insert(1, 1);
        while is_there(&one) {
            thread::yield_now();
        }
        assert_eq!(one.ttl(&1), None);
        assert!(is_there(&other));
    }
}

#[test]
fn entries_with_a_ticking_clock_do_not_go_early() {
    let clock = Clock::ticking(Duration::from_millis(1));
    let cache = cache(clock, Duration::from_millis(40));
    for key in 0..20 {
        let start = std::time::Instant::now();
        cache.insert(key, key);
        while cache.get(&key).is_some() {
            thread::yield_now();
        }
        assert!(start.elapsed() >= Duration::from_millis(40));
    }
}

/// What a clock of the program's says holds for each kind of call at once, from the millisecond on in which an entry ends.
#[test]
fn all_calls_see_the_program_s_time() {
    let clock = ManualClock::new();
    let cache = cache(clock.clone(), Duration::from_millis(3));
    clock.advance(Duration::from_micros(1_500));
    cache.insert(1, 1);
    for _ in 0..5 {
        assert_eq!((cache.get(&1), cache.peek(&1)), (Some(1), Some(1)));
        assert!(cache.contains_key(&1));
        assert_eq!(cache.get_many([&1]), [Some(1)]);
        assert!(matches!(cache.ttl(&1), Some(Ttl::After(_))));
        clock.advance(Duration::from_micros(700));
    }
    clock.advance(Duration::from_micros(500));
    assert_eq!(
        (cache.get(&1), cache.peek(&1), cache.ttl(&1)),
        (None, None, None)
    );
    assert_eq!(cache.get_many([&1]), [None]);
    assert_eq!(cache.purge_expired(), 1);
}
