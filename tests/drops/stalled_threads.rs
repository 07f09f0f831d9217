//! Threads that stand still in user code stop nobody.

use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use crate::support::sealed::{Sealed, mixed};
use crate::support::{PATIENCE, quiet, within};
use nori_cache::{Cache, ManualClock, Update};

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
    let _quiet = quiet();
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
    let _quiet = quiet();
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
    let _quiet = quiet();
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
    let _quiet = quiet();
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
