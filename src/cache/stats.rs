//! Counting hits and misses without a shared line.

use super::load::LoadStats;
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
    /// Entries whose time to live had passed when they left, whichever way: found by a write, removed, replaced, cleared.
    pub expirations: u64,
    /// What became of loads (`get_or_insert_with` and its siblings).
    pub loads: LoadStats,
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

impl Stats {
    /// What was counted since `previous` was taken, of the same cache.
    pub fn since(&self, previous: &Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(previous.hits),
            misses: self.misses.saturating_sub(previous.misses),
            inserts: self.inserts.saturating_sub(previous.inserts),
            evictions: self.evictions.saturating_sub(previous.evictions),
            expirations: self.expirations.saturating_sub(previous.expirations),
            loads: self.loads.since(&previous.loads),
        }
    }
}

/// How many threads count on a line of their own.
const OWN: usize = 64;

/// Hits and misses, a line for each thread.
#[derive(Debug)]
pub(super) struct Reads {
    /// The last line is shared by the threads beyond [`OWN`].
    lines: Box<[CachePadded<Line>; OWN + 1]>,
}

#[derive(Debug, Default)]
struct Line {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Reads {
    pub(super) fn new() -> Self {
        Self {
            lines: Box::new(std::array::from_fn(|_| CachePadded::default())),
        }
    }

    /// Counts a hit of the thread with this index in the reclamation domain.
    #[inline(always)]
    pub(super) fn hit(&self, thread: usize) {
        self.count(thread, 1, |line| &line.hits);
    }

    /// Counts a miss.
    #[inline(always)]
    pub(super) fn miss(&self, thread: usize) {
        self.count(thread, 1, |line| &line.misses);
    }

    /// Counts a batch.
    pub(super) fn batch(&self, thread: usize, hits: usize, misses: usize) {
        self.count(thread, hits as u64, |line| &line.hits);
        self.count(thread, misses as u64, |line| &line.misses);
    }

    #[inline(always)]
    fn count(&self, thread: usize, by: u64, counter: impl Fn(&Line) -> &AtomicU64) {
        if thread < OWN {
            let counter = counter(&self.lines[thread]);
            // Relaxed, both: counters order nothing. Only this thread writes this one: the index is its own while it runs,
            // and the next thread to get it does so after an Acquire that pairs with this one's Release in
            // `Record::release`.
            counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Relaxed);
        } else {
            // Relaxed: as above.
            counter(&self.lines[OWN]).fetch_add(by, Ordering::Relaxed);
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
