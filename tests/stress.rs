//! Many threads at once. Bounded by operation counts, so that a slow machine takes longer but does the same.

mod common;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use common::{Census, Counted, PATIENCE, Rng, within};
use nori_cache::{Cache, ManualClock, Update};

/// A value that knows its key and that a torn or stale read would give away.
#[derive(Clone)]
struct Sealed {
    key: u64,
    serial: u64,
    seal: u64,
    body: Box<[u64; 4]>,
}

impl Sealed {
    fn new(key: u64, serial: u64) -> Self {
        Self {
            key,
            serial,
            seal: Self::seal(key, serial),
            body: Box::new([key, serial, key ^ serial, !key]),
        }
    }

    fn seal(key: u64, serial: u64) -> u64 {
        Rng(key ^ serial.rotate_left(32)).next()
    }

    #[track_caller]
    fn check(&self, key: u64) {
        assert_eq!(self.key, key, "the value of another key");
        assert_eq!(self.seal, Self::seal(key, self.serial), "a torn value");
        let body = [key, self.serial, key ^ self.serial, !key];
        assert_eq!(*self.body, body, "a value that was gone");
    }
}

/// `ops` calls of everything there is over `keys` keys, every answer checked.
fn mixed(cache: &Cache<u64, Sealed>, clock: &ManualClock, seed: u64, keys: u64, ops: u64) {
    let mut rng = Rng(seed);
    for n in 0..ops {
        let key = rng.below(keys);
        let new = || Sealed::new(key, seed << 32 | n);
        match rng.below(100) {
            0..35 => {
                if let Some(value) = cache.get(&key) {
                    value.check(key);
                }
            }
            35..45 => drop(cache.get_with(&key, |value| value.check(key))),
            45..70 => cache.insert(key, new()),
            70..74 => cache.insert_with_ttl(key, new(), Duration::from_millis(rng.below(4))),
            74..79 => drop(cache.remove(&key)),
            79..82 => {
                if let Some(value) = cache.take(&key) {
                    value.check(key);
                }
            }
            82..90 => {
                let dice = rng.below(8);
                cache.update(key, |old| {
                    if let Some(old) = old {
                        old.check(key);
                    }
                    match dice {
                        0 => Update::Remove,
                        1 => Update::Keep,
                        2 => Update::SetWithTtl(new(), Duration::from_millis(2).into()),
                        _ => Update::Set(new()),
                    }
                });
            }
            90..94 => {
                let keys: Vec<_> = (0..40).map(|i| (key + i) % keys).collect();
                let values = cache.get_many(&keys);
                assert_eq!(values.len(), keys.len());
                for (key, value) in keys.iter().zip(values) {
                    if let Some(value) = value {
                        value.check(*key);
                    }
                }
            }
            94 => clock.advance(Duration::from_millis(1)),
            95 => drop(cache.purge_expired()),
            96 => {
                if let Some(value) = cache.peek(&key) {
                    value.check(key);
                }
            }
            // Sweeps over the whole cache are dear: now and then.
            _ => match rng.below(60) {
                0 => cache.clear(),
                1 => cache.retain(|key, value| {
                    value.check(*key);
                    key % 7 != 0
                }),
                2 => {
                    for (key, value) in cache.iter() {
                        value.check(key);
                    }
                }
                _ => assert!(cache.len() <= cache.max_keys()),
            },
        }
    }
}

/// Runs `mixed` on four threads that stay and on many more that come and go.
fn crowd(max_keys: usize, shards: usize, keys: u64) {
    within(PATIENCE, move || {
        let clock = ManualClock::new();
        let cache: Cache<u64, Sealed> = Cache::builder()
            .max_keys(max_keys)
            .shards(shards)
            .clock(clock.clone())
            .build()
            .unwrap();
        thread::scope(|scope| {
            for seed in 0..4 {
                let (cache, clock) = (&cache, &clock);
                scope.spawn(move || mixed(cache, clock, seed, keys, 15_000));
            }
            // More than any table of threads is likely to start with, three batches of them.
            for batch in 0..3 {
                let visitors: Vec<_> = (0..24)
                    .map(|n| {
                        let (cache, clock) = (&cache, &clock);
                        let seed = 100 * (batch + 1) + n;
                        scope.spawn(move || mixed(cache, clock, seed, keys, 100))
                    })
                    .collect();
                for visitor in visitors {
                    visitor.join().unwrap();
                }
            }
        });
        cache.purge_expired();
        let mut seen = 0;
        for (key, value) in cache.iter() {
            value.check(key);
            seen += 1;
        }
        assert_eq!(cache.len(), seen);
        for key in 0..keys {
            cache.remove(&key);
            assert!(!cache.contains_key(&key), "{key} was there twice");
        }
        assert_eq!(cache.len(), 0);
    });
}

#[test]
fn a_crowd_over_few_keys() {
    crowd(64, 1, 12);
}

#[test]
fn a_crowd_over_more_keys_than_fit() {
    crowd(200, 4, 1_000);
}

#[test]
fn a_crowd_over_many_keys() {
    crowd(20_000, 8, 30_000);
}

#[test]
fn a_crowd_that_fights_for_two_slots() {
    crowd(2, 1, 6);
}

#[test]
fn a_crowd_drops_everything_exactly_once() {
    within(PATIENCE, || {
        let census = Census::new();
        let cache: Cache<Counted, Counted> =
            Cache::builder().max_keys(150).shards(4).build().unwrap();
        let threads: Vec<_> = (0..24)
            .map(|seed| {
                let cache = cache.clone();
                thread::spawn(move || {
                    let mut rng = Rng(seed);
                    for _ in 0..800 {
                        let tag = rng.below(400);
                        let new = || census.counted(tag);
                        match rng.below(10) {
                            0..4 => cache.insert(new(), new()),
                            4..6 => drop(cache.get(&tag).map(|v| assert_eq!(v.tag, tag))),
                            6 => drop(cache.take(&tag)),
                            7 => drop(cache.update(new(), |_| Update::Set(new()))),
                            8 if rng.below(100) == 0 => cache.clear(),
                            8 => drop(cache.remove(&tag)),
                            _ => assert!(cache.get_with(&tag, |v| v.tag == tag) != Some(false)),
                        }
                    }
                })
            })
            .collect();
        drop(cache);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(census.born() > 10_000);
        assert_eq!(census.alive(), 0);
    });
}

// ---- reads see what is there -----------------------------------------------------------------------------------

/// The keys that nobody removes.
const STABLE: Range<u64> = 1_000_000..1_000_050;

/// Reads `STABLE` all the time while `churn` goes on beside it. An iterator gives all of what stays as it is; it may
/// miss what is being replaced.
fn never_missed(max_keys: usize, shards: usize, replaced: bool, churn: fn(&Cache<u64, Sealed>)) {
    let cache: Cache<u64, Sealed> = Cache::builder()
        .max_keys(max_keys)
        .shards(shards)
        .build()
        .unwrap();
    for key in STABLE {
        cache.insert(key, Sealed::new(key, 0));
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|reader| {
                let (cache, done) = (&cache, &done);
                scope.spawn(move || {
                    let mut rounds = 0;
                    loop {
                        let last = done.load(Ordering::Acquire);
                        for key in STABLE {
                            match (reader + key) % 3 {
                                0 => cache.get(&key).expect("it is there").check(key),
                                1 => cache.get_with(&key, |v| v.check(key)).expect("it is there"),
                                _ => assert!(cache.contains_key(&key), "it is there"),
                            }
                        }
                        let keys: Vec<_> = STABLE.collect();
                        for (key, value) in keys.iter().zip(cache.get_many(&keys)) {
                            value.expect("it is there").check(*key);
                        }
                        if reader == 0 && !replaced {
                            let there = cache.iter().filter(|(k, _)| STABLE.contains(k)).count();
                            assert_eq!(there, 50, "the iterator left some out");
                        }
                        rounds += 1;
                        if last {
                            return rounds;
                        }
                    }
                })
            })
            .collect();
        churn(&cache);
        done.store(true, Ordering::Release);
        for reader in readers {
            assert!(reader.join().unwrap() >= 1);
        }
    });
    assert_eq!(
        cache.stats().evictions,
        0,
        "the churn was to stay below max_keys"
    );
}

#[test]
fn nobody_misses_a_key_while_the_tables_grow() {
    within(PATIENCE, || {
        never_missed(60_000, 4, false, |cache| {
            for key in 0..40_000 {
                cache.insert(key, Sealed::new(key, 1));
            }
        });
    });
}

#[test]
fn writers_that_make_the_tables_grow_see_what_they_wrote() {
    within(PATIENCE, || {
        // From empty, several times: growth is what is to be raced for.
        for round in 0..6 {
            let cache: Cache<u64, Sealed> = Cache::builder()
                .max_keys(40_000)
                .shards(1 << round)
                .build()
                .unwrap();
            thread::scope(|scope| {
                for writer in 0..4_u64 {
                    let cache = &cache;
                    scope.spawn(move || {
                        let mine = |n: u64| writer << 32 | n;
                        for n in 0..3_000 {
                            cache.insert(mine(n), Sealed::new(mine(n), round));
                            let older = mine(n / 2);
                            cache.get(&older).expect("it was inserted").check(older);
                            if n % 3 == 0 {
                                assert!(cache.remove(&mine(n)));
                                assert!(!cache.contains_key(&mine(n)));
                                cache.insert(mine(n), Sealed::new(mine(n), round + 1));
                            }
                        }
                    });
                }
            });
            assert_eq!(cache.len(), 12_000);
            assert_eq!(cache.iter().count(), 12_000);
            for writer in 0..4_u64 {
                for n in 0..3_000 {
                    let key = writer << 32 | n;
                    cache.get(&key).expect("nobody removed it").check(key);
                }
            }
        }
    });
}

#[test]
fn nobody_misses_a_key_while_others_come_and_go() {
    within(PATIENCE, || {
        for shards in [1, 4] {
            never_missed(500, shards, false, |cache| {
                for n in 0..30_000 {
                    let key = n % 300;
                    cache.insert(key, Sealed::new(key, n));
                    // Never more than some 300 of the others, each removed and soon back.
                    cache.remove(&((n * 7) % 300));
                }
            });
        }
    });
}

#[test]
fn nobody_misses_a_key_that_is_replaced_all_the_time() {
    within(PATIENCE, || {
        never_missed(100, 1, true, |cache| {
            for n in 0..30_000 {
                let key = 1_000_000 + n % 50;
                match n % 3 {
                    0 => drop(cache.update(key, |_| Update::Set(Sealed::new(key, n)))),
                    _ => cache.insert(key, Sealed::new(key, n)),
                }
            }
        });
    });
}

#[test]
fn a_reader_sees_the_versions_of_a_key_in_order() {
    within(PATIENCE, || {
        let cache: Cache<u64, Sealed> = Cache::new(64);
        cache.insert(1, Sealed::new(1, 0));
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut latest = 0;
                        while !done.load(Ordering::Acquire) {
                            let value = cache.get(&1).expect("it is never removed");
                            value.check(1);
                            assert!(
                                value.serial >= latest,
                                "back from {latest} to {}",
                                value.serial
                            );
                            latest = value.serial;
                        }
                        cache.get(&1).map(|v| v.serial)
                    })
                })
                .collect();
            for serial in 1..=20_000 {
                cache.insert(1, Sealed::new(1, serial));
                // A writer reads its own write.
                assert_eq!(cache.get(&1).map(|v| v.serial), Some(serial));
            }
            done.store(true, Ordering::Release);
            for reader in readers {
                assert_eq!(reader.join().unwrap(), Some(20_000));
            }
        });
    });
}

#[test]
fn what_was_removed_stays_removed() {
    within(PATIENCE, || {
        let cache: Cache<u64, u64> = Cache::builder().max_keys(500).shards(4).build().unwrap();
        // Each thread owns its keys, so it knows what must be there, whatever the others do to the shards.
        thread::scope(|scope| {
            for owner in 0..4_u64 {
                let cache = &cache;
                scope.spawn(move || {
                    let mut rng = Rng(owner);
                    let mut mine = [None; 100];
                    for n in 0..12_000 {
                        let slot = rng.below(100) as usize;
                        let key = owner * 100 + slot as u64;
                        assert_eq!(cache.get(&key), mine[slot]);
                        match rng.below(6) {
                            0..2 => {
                                cache.insert(key, n);
                                mine[slot] = Some(n);
                            }
                            2 => {
                                assert!(cache.update(key, |old| {
                                    assert_eq!(old.copied(), mine[slot]);
                                    Update::Set(n)
                                }));
                                mine[slot] = Some(n);
                            }
                            3 => {
                                assert_eq!(cache.remove(&key), mine[slot].is_some());
                                mine[slot] = None;
                            }
                            4 => {
                                assert_eq!(cache.take(&key), mine[slot]);
                                mine[slot] = None;
                            }
                            _ => {}
                        }
                        assert_eq!(cache.get(&key), mine[slot]);
                    }
                });
            }
        });
        assert_eq!(cache.stats().evictions, 0);
    });
}

// ---- updates ---------------------------------------------------------------------------------------------------

#[test]
fn concurrent_updates_lose_nothing() {
    within(PATIENCE, || {
        let cache: Cache<&str, u64> = Cache::new(10);
        let runs = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        assert!(cache.update("hits", |old| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            Update::Set(old.map_or(1, |n| n + 1))
                        }));
                    }
                });
            }
        });
        assert_eq!(cache.get("hits"), Some(16_000));
        assert!(runs.into_inner() >= 16_000);
    });
}

#[test]
fn updates_that_remove_and_restore_lose_nothing() {
    within(PATIENCE, || {
        let cache: Cache<u64, u64> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        let taken = AtomicU64::new(0);
        thread::scope(|scope| {
            for seed in 0..6 {
                let (cache, taken) = (&cache, &taken);
                scope.spawn(move || {
                    let mut rng = Rng(seed);
                    for _ in 0..2_000 {
                        let key = rng.below(3);
                        if rng.below(4) == 0 {
                            // Empties the counter: by an update that removes, or by take.
                            let mut found = 0;
                            if rng.below(2) == 0 {
                                cache.update(key, |old| {
                                    found = old.copied().unwrap_or(0);
                                    Update::Remove
                                });
                            } else {
                                found = cache.take(&key).unwrap_or(0);
                            }
                            taken.fetch_add(found, Ordering::Relaxed);
                        }
                        cache.update(key, |old| Update::Set(old.map_or(1, |n| n + 1)));
                    }
                });
            }
        });
        let left: u64 = cache.iter().map(|(_, n)| n).sum();
        assert_eq!(taken.into_inner() + left, 12_000);
    });
}

// ---- threads that stand still ----------------------------------------------------------------------------------

/// Lets a thread stand still inside user code until told to go on.
struct Gate {
    arrived: Barrier,
    open: mpsc::Sender<()>,
}

impl Gate {
    fn new() -> (Arc<Self>, impl FnMut()) {
        let (open, opened) = mpsc::channel();
        let gate = Arc::new(Self {
            arrived: Barrier::new(2),
            open,
        });
        let theirs = gate.clone();
        let pass = move || {
            theirs.arrived.wait();
            opened.recv().expect("the gate is opened");
        };
        (gate, pass)
    }
}

/// Reads and writes of all sorts, on the keys that somebody stands on, too.
fn life_goes_on(cache: &Cache<u64, Sealed>) {
    for round in 0..3 {
        for key in 0..3_000 {
            cache.insert(key, Sealed::new(key, round));
            cache.get(&key).expect("just inserted").check(key);
            assert!(cache.len() <= cache.max_keys());
        }
        let kept = |key: &u64| key.is_multiple_of(2);
        cache.retain(|key, _| kept(key));
        assert!(cache.iter().all(|(key, _)| kept(&key)));
        assert!(cache.update(1, |_| Update::Set(Sealed::new(1, round))));
        assert!(cache.remove(&1));
        cache.purge_expired();
        cache.clear();
        assert_eq!(cache.len(), 0);
    }
}

#[test]
fn a_writer_parked_in_its_closure_stops_nobody() {
    within(PATIENCE, || {
        let cache: Cache<u64, Sealed> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        for present in [true, false] {
            cache.clear();
            if present {
                cache.insert(1, Sealed::new(1, 7));
            }
            let (gate, mut pass) = Gate::new();
            let theirs = cache.clone();
            let writer = thread::spawn(move || {
                let mut seen = Vec::new();
                let changed = theirs.update(1, |old| {
                    if seen.is_empty() {
                        pass();
                    }
                    // Lent before the others went on: it must still be what it was.
                    if let Some(old) = old {
                        old.check(1);
                    }
                    let serial = old.map(|v| v.serial);
                    seen.push(serial);
                    Update::Set(Sealed::new(1, serial.unwrap_or(0) + 1))
                });
                (changed, seen)
            });
            gate.arrived.wait();
            life_goes_on(&cache);
            cache.insert(1, Sealed::new(1, 100));
            gate.open.send(()).unwrap();
            let (changed, seen) = writer.join().unwrap();
            assert!(changed);
            assert_eq!(
                seen,
                [present.then_some(7), Some(100)],
                "it ran again on what came in between"
            );
            assert_eq!(cache.get(&1).map(|v| v.serial), Some(101));
        }
    });
}

#[test]
fn an_update_notices_that_its_key_went_and_came_back() {
    within(PATIENCE, || {
        let cache: Cache<u64, Sealed> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        cache.insert(1, Sealed::new(1, 7));
        let (gate, mut pass) = Gate::new();
        let theirs = cache.clone();
        let writer = thread::spawn(move || {
            let mut runs = 0;
            theirs.update(1, |old| {
                runs += 1;
                if runs == 1 {
                    pass();
                }
                Update::Set(Sealed::new(1, old.map_or(0, |v| v.serial) + 1))
            });
            runs
        });
        gate.arrived.wait();
        // The same key, the same value, but another entry: perhaps in the very slot of the first.
        for _ in 0..200 {
            assert!(cache.remove(&1));
            for key in 100..164 {
                cache.insert(key, Sealed::new(key, 0));
            }
            cache.insert(1, Sealed::new(1, 7));
        }
        gate.open.send(()).unwrap();
        assert_eq!(writer.join().unwrap(), 2);
        assert_eq!(cache.get(&1).map(|v| v.serial), Some(8));
    });
}

#[test]
fn readers_parked_in_their_closures_stop_nobody() {
    within(PATIENCE, || {
        let cache: Cache<u64, Sealed> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        for key in 0..20 {
            cache.insert(key, Sealed::new(key, 7));
        }
        // More readers than any table of threads is likely to start with.
        let readers: Vec<_> = (0..20)
            .map(|key| {
                let (gate, mut pass) = Gate::new();
                let theirs = cache.clone();
                let reader = thread::spawn(move || {
                    theirs.get_with(&key, |value| {
                        pass();
                        value.check(key);
                        value.serial
                    })
                });
                gate.arrived.wait();
                (gate, reader)
            })
            .collect();
        life_goes_on(&cache);
        thread::scope(|scope| {
            for seed in 0..3 {
                let cache = &cache;
                scope.spawn(move || mixed(cache, &ManualClock::new(), seed, 100, 5_000));
            }
        });
        for (gate, reader) in readers {
            gate.open.send(()).unwrap();
            assert_eq!(reader.join().unwrap(), Some(7));
        }
        life_goes_on(&cache);
    });
}

#[test]
fn one_parked_retain_and_one_half_read_iterator_stop_nobody() {
    within(PATIENCE, || {
        let cache: Cache<u64, Sealed> = Cache::builder().max_keys(64).shards(1).build().unwrap();
        for key in 0..64 {
            cache.insert(key, Sealed::new(key, 7));
        }
        let mut iter = cache.iter();
        let (key, value) = iter.next().unwrap();
        value.check(key);
        let (gate, mut pass) = Gate::new();
        let theirs = cache.clone();
        let sweeper = thread::spawn(move || {
            let mut first = true;
            theirs.retain(|key, value| {
                if std::mem::take(&mut first) {
                    pass();
                }
                value.check(*key);
                true
            });
        });
        gate.arrived.wait();
        life_goes_on(&cache);
        gate.open.send(()).unwrap();
        sweeper.join().unwrap();
        for (key, value) in iter {
            value.check(key);
        }
    });
}
