//! Buckets of keys, which share what a purge by key leaves.

use super::hash::fnv1a;

pub(crate) const BUCKETS: usize = 4096;

/// Which of the [`BUCKETS`] a key is in.
pub(crate) fn of(key: &str) -> usize {
    (fnv1a([key.as_bytes()]) % BUCKETS as u64) as usize
}
