//! Reads beside writers see what is there: nothing is missed, nothing comes back.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::support::sealed::Sealed;
use crate::support::{PATIENCE, Rng, within};
use nori_cache::{Cache, Update};

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
                    _ => _ = cache.insert(key, Sealed::new(key, n)),
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
