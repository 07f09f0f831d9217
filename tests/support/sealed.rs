//! Values that give a torn, stale or misplaced read away, and a workload that checks every answer.

use std::time::Duration;

use super::Rng;
use nori_cache::{Cache, ManualClock, Update};

/// A value that knows its key and that a torn or stale read would give away.
#[derive(Clone)]
pub struct Sealed {
    key: u64,
    pub serial: u64,
    seal: u64,
    body: Box<[u64; 4]>,
}

impl Sealed {
    pub fn new(key: u64, serial: u64) -> Self {
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
    pub fn check(&self, key: u64) {
        assert_eq!(self.key, key, "the value of another key");
        assert_eq!(self.seal, Self::seal(key, self.serial), "a torn value");
        let body = [key, self.serial, key ^ self.serial, !key];
        assert_eq!(*self.body, body, "a value that was gone");
    }
}

/// `ops` calls of everything there is over `keys` keys, every answer checked.
pub fn mixed(cache: &Cache<u64, Sealed>, clock: &ManualClock, seed: u64, keys: u64, ops: u64) {
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
            45..70 => _ = cache.insert(key, new()),
            70..74 => _ = cache.insert_with_ttl(key, new(), Duration::from_millis(rng.below(4))),
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
