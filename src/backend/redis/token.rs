//! Names that are given once.

use crate::sync::{AtomicU64, Ordering};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process;
use std::sync::LazyLock;

/// What nobody else has, in this process or in another: random, with the process's number, as a fork has the same random numbers.
pub(super) fn token() -> String {
    static SEED: LazyLock<[u64; 2]> =
        LazyLock::new(|| [0, 1].map(|nth: u8| RandomState::new().hash_one(nth)));
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let [high, low] = *SEED;
    // Relaxed: each number is drawn once.
    let nth = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{high:016x}{low:016x}-{:x}-{nth:x}", process::id())
}
