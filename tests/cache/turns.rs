//! Threads that take strict turns with a small cache: evictions are exactly those of an LRU, as with one thread.

use std::sync::mpsc;
use std::thread;

use crate::support::Rng;
use nori_cache::{Cache, Update};

#[derive(Debug, Clone, Copy)]
enum Op {
    Get(u64),
    GetMany(u64, u64),
    Insert(u64),
    Update(u64),
    Remove(u64),
}

/// Least recently used first.
struct Lru {
    max_keys: usize,
    keys: Vec<u64>,
    victims: usize,
}

impl Lru {
    fn touch(&mut self, key: u64) {
        if let Some(at) = self.keys.iter().position(|&it| it == key) {
            let key = self.keys.remove(at);
            self.keys.push(key);
        }
    }

    fn put(&mut self, key: u64) {
        if self.keys.contains(&key) {
            self.touch(key);
            return;
        }
        if self.keys.len() == self.max_keys {
            self.keys.remove(0);
            self.victims += 1;
        }
        self.keys.push(key);
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Get(key) => self.touch(key),
            Op::GetMany(a, b) => [a, b, a].map(|key| self.touch(key)).into_iter().collect(),
            Op::Insert(key) | Op::Update(key) => self.put(key),
            Op::Remove(key) => self.keys.retain(|&it| it != key),
        }
    }
}

fn apply(cache: &Cache<u64, u64>, op: Op) {
    match op {
        Op::Get(key) => drop(cache.get(&key)),
        Op::GetMany(a, b) => drop(cache.get_many(&[a, b, a])),
        Op::Insert(key) => _ = cache.insert(key, key),
        Op::Update(key) => _ = cache.update(key, |_| Update::Set(key)),
        Op::Remove(key) => _ = cache.remove(&key),
    }
}

/// `threads` threads, each of which does what it is told and says when it has; how many victims there were.
fn in_turns(threads: u64, max_keys: usize, steps: u64, reads: u64) -> usize {
    let cache: Cache<u64, u64> = Cache::new(max_keys);
    let mut lru = Lru {
        max_keys,
        keys: Vec::new(),
        victims: 0,
    };
    let mut rng = Rng(max_keys as u64 * 31 + threads);
    thread::scope(|scope| {
        let (done, told) = mpsc::channel();
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let (tell, ops) = mpsc::channel::<Vec<Op>>();
                let (cache, done) = (&cache, done.clone());
                scope.spawn(move || {
                    for turn in ops {
                        turn.into_iter().for_each(|op| apply(cache, op));
                        done.send(()).unwrap();
                    }
                });
                tell
            })
            .collect();
        for step in 0..steps {
            let keys = max_keys as u64 * 3 / 2 + 1;
            // A turn of one to three calls, by any of the threads.
            let turn: Vec<Op> = (0..=rng.below(3))
                .map(|_| match rng.below(reads + 8) {
                    0 => Op::Remove(rng.below(keys)),
                    1 => Op::Update(rng.below(keys)),
                    2..8 => Op::Insert(rng.below(keys)),
                    8 => Op::GetMany(rng.below(keys), rng.below(keys)),
                    _ => Op::Get(rng.below(keys)),
                })
                .collect();
            turn.iter().for_each(|&op| lru.apply(op));
            let worker = rng.below(threads) as usize;
            workers[worker].send(turn.clone()).unwrap();
            told.recv().unwrap();
            let mut held: Vec<u64> = cache.iter().map(|(key, _)| key).collect();
            let mut expected = lru.keys.clone();
            held.sort_unstable();
            expected.sort_unstable();
            assert_eq!(held, expected, "step {step}: {turn:?} by thread {worker}");
        }
        drop(workers);
    });
    lru.victims
}

#[test]
fn two_and_three_threads_evict_exactly_in_lru_order() {
    for threads in [1, 2, 3] {
        for (max_keys, steps) in [(1, 500), (2, 500), (20, 3_000), (64, 3_000), (127, 6_000)] {
            for reads in [4, 40] {
                let victims = in_turns(threads, max_keys, steps, reads);
                assert!(victims > 50, "{victims} victims are too few");
            }
        }
    }
}
