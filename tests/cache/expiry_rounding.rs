//! A time to live is kept: no entry expires early, and none lives a millisecond longer.

use std::time::{Duration, Instant};

use nori_cache::{Cache, ManualClock, Ttl, Update};

const MS: Duration = Duration::from_millis(1);
const MICRO: Duration = Duration::from_micros(1);

fn cache() -> (Cache<u64, u64>, ManualClock) {
    let clock = ManualClock::new();
    let cache = Cache::builder()
        .max_keys(100)
        .clock(clock.clone())
        .build()
        .unwrap();
    (cache, clock)
}

type Write = fn(&Cache<u64, u64>, Duration);

/// How long the entry of key 1 still lives: as every read has it, alike.
fn life(cache: &Cache<u64, u64>, clock: &ManualClock) -> Duration {
    let mut life = Duration::ZERO;
    loop {
        let there = cache.contains_key(&1);
        assert_eq!(cache.peek(&1).is_some(), there);
        assert_eq!(cache.get_many([&1])[0].is_some(), there);
        let left = cache.ttl(&1);
        assert_eq!(left.is_some(), there);
        if !there {
            return life;
        }
        assert_ne!(left, Some(Ttl::After(Duration::ZERO)));
        clock.advance(50 * MICRO);
        life += 50 * MICRO;
    }
}

#[test]
fn at_every_fraction_of_a_millisecond() {
    let ttls = [1, 500, 999, 1_000, 1_001, 1_500, 2_000, 7_000].map(Duration::from_micros);
    for ttl in ttls {
        let whole = Duration::from_millis(ttl.as_micros().div_ceil(1_000) as u64);
        for phase in (0..1_000).step_by(50) {
            let write: [Write; 2] = [
                |cache, ttl| _ = cache.insert_with_ttl(1, 1, ttl),
                |cache, ttl| _ = cache.update(1, |_| Update::SetWithTtl(1, ttl.into())),
            ];
            for write in write {
                let (cache, clock) = cache();
                clock.advance(phase * MICRO);
                write(&cache, ttl);
                assert_eq!(cache.ttl(&1), Some(Ttl::After(whole)));
                let life = life(&cache, &clock);
                assert!(life >= ttl, "{life:?} for {ttl:?}");
                assert!(life < whole + MS, "{life:?} for {ttl:?}");
                // Exactly, where the clock stands at a whole millisecond.
                assert!(phase != 0 || life == whole);
            }
        }
    }
}

/// The clock is monotonic, and is asked before and after: whatever holds the test up, these hold.
#[test]
fn on_the_system_clock() {
    let cache: Cache<u64, u64> = Cache::new(100);
    for round in 0..300 {
        let ttl = if round % 3 == 0 { 4 * MS } else { MS };
        let before = Instant::now();
        // Right behind another write, so that the last reading of the clock serves.
        cache.insert_with_ttl(2, 2, ttl);
        cache.insert_with_ttl(1, 1, ttl);
        let after = Instant::now();
        loop {
            let asked = Instant::now();
            let hit = cache.get(&1).is_some();
            if !hit {
                assert!(before.elapsed() >= ttl, "gone after {:?}", before.elapsed());
                break;
            }
            assert!(asked - after < ttl + MS, "there after {:?}", asked - after);
        }
    }
}
