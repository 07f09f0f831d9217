//! Counting hits and misses without a shared line.

use crate::sync::{AtomicU64, CachePadded, Ordering};

/// What a cache has done since it was built. Counters are exact; read beside other threads they are not of one instant.
///
/// ```
/// use nori_cache::Cache;
///
/// let cache = Cache::new(100);
/// cache.insert("a", 1);
/// cache.get("a");
/// cache.get("b");
/// let stats = cache.stats();
/// assert_eq!((stats.hits, stats.misses, stats.inserts), (1, 1, 1));
/// assert_eq!(stats.hit_ratio(), 0.5);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Reads (`get`, `get_with`, each key of `get_many`) that found a live entry.
    pub hits: u64,
    /// Reads that found none.
    pub misses: u64,
    /// Entries stored, those that replaced another included.
    pub inserts: u64,
    /// Live entries that had to make room for others.
    pub evictions: u64,
    /// Entries whose time to live had passed when they were taken out.
    pub expirations: u64,
}

impl Stats {
    /// Hits in all reads, from 0 to 1; 0 before the first read.
    pub fn hit_ratio(&self) -> f64 {
        match self.hits + self.misses {
            0 => 0.0,
            reads => self.hits as f64 / reads as f64,
        }
    }
}

/// How many threads count on a line of their own.
const OWN: usize = 64;

/// Hits and misses, a line for each thread.
#[derive(Debug)]
pub(super) struct Reads {
    /// The last line is shared by the threads beyond [`OWN`].
    lines: Box<[CachePadded<Line>]>,
}

#[derive(Debug, Default)]
struct Line {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Reads {
    pub(super) fn new() -> Self {
        Self {
            lines: (0..=OWN).map(|_| CachePadded::default()).collect(),
        }
    }

    /// Counts for the thread with this index in the reclamation domain.
    #[inline(always)]
    pub(super) fn count(&self, thread: usize, hits: u64, misses: u64) {
        if thread < OWN {
            let line = &self.lines[thread];
            add_own(&line.hits, hits);
            add_own(&line.misses, misses);
        } else {
            let line = &self.lines[OWN];
            // Relaxed: counters order nothing.
            line.hits.fetch_add(hits, Ordering::Relaxed);
            line.misses.fetch_add(misses, Ordering::Relaxed);
        }
    }

    /// All hits and misses.
    pub(super) fn sum(&self) -> (u64, u64) {
        self.lines.iter().fold((0, 0), |(hits, misses), line| {
            // Relaxed: as above.
            (
                hits + line.hits.load(Ordering::Relaxed),
                misses + line.misses.load(Ordering::Relaxed),
            )
        })
    }
}

/// Adds to a counter that only this thread writes: the index is its own while it runs, and the next thread to get it does so
/// after an Acquire that pairs with this one's Release (`Record::try_lease`).
#[inline(always)]
fn add_own(counter: &AtomicU64, by: u64) {
    if by != 0 {
        counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
    }
}
