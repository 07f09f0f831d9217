//! How long other calls wait while a cache of a million entries shrinks to half of it: one thread resizes, one inserts or reads.
//!
//! ```sh
//! cargo run -p nori-cache-benches --profile bench --no-default-features --bin resize
//! ```
//!
//! Needs a processor for each of the two threads: what the system takes from them counts as waiting. So each round is shown beside one in
//! which nobody resizes, and takes as long.

#![forbid(unsafe_code)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nori_cache::Cache;

const BEFORE: usize = 1_000_000;
const AFTER: usize = 500_000;
const ROUNDS: usize = 7;

#[derive(Clone, Copy)]
enum Call {
    Get,
    Insert,
}

fn main() {
    println!("| | resized in | longest wait | longest without |\n|---|--:|--:|--:|");
    for (name, call) in [("get", Call::Get), ("insert", Call::Insert)] {
        let mut rounds: Vec<(Duration, Duration, Duration)> = (0..ROUNDS)
            .map(|_| {
                let (took, waited) = round(call, None);
                let (_, without) = round(call, Some(took));
                (took, waited, without)
            })
            .collect();
        rounds.sort_by_key(|(_, waited, _)| *waited);
        let (took, waited, without) = rounds[ROUNDS / 2];
        println!("| {name} | {took:.1?} | {waited:.1?} | {without:.1?} |");
    }
}

/// How long a resize took, or a pause of this length, and how long the longest other call.
fn round(call: Call, pause: Option<Duration>) -> (Duration, Duration) {
    let cache: Cache<u64, u64> = Cache::new(BEFORE);
    (0..BEFORE as u64).for_each(|n| _ = cache.insert(n, n));
    let (begins, over) = (Barrier::new(2), AtomicBool::new(false));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            let mut n = 1_u64;
            begins.wait();
            while !over.load(Ordering::Relaxed) {
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let key = (n >> 33) % BEFORE as u64;
                let began = Instant::now();
                match call {
                    Call::Get => _ = cache.get(&key),
                    Call::Insert => _ = cache.insert(key, key),
                }
                longest = longest.max(began.elapsed());
            }
            longest
        });
        begins.wait();
        let began = Instant::now();
        match pause {
            None => cache.set_max_keys(AFTER).expect("nothing is pinned"),
            Some(pause) => while began.elapsed() < pause {},
        }
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        (took, other.join().expect("it does not panic"))
    })
}
