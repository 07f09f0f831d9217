use super::load::LoadStats;

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
    /// What those weighed, in a cache with a weigher.
    pub evicted_weight: u64,
    /// Values that were not stored because they are too heavy, or pinned entries left no room.
    pub refusals: u64,
    /// Entries whose time to live had passed when they left, whichever way: found by a write, removed, replaced, cleared.
    pub expirations: u64,
    /// Live entries that were removed: by `remove`, `take`, `update`, `retain` and their siblings.
    pub removals: u64,
    /// Live entries that went with [`clear`](crate::Cache::clear).
    pub cleared: u64,
    /// How often the [listener](crate::CacheBuilder::on_removal) has panicked.
    pub listener_panics: u64,
    /// Entries that have left the cache and still wait to be dropped: for readers that may be in them, and for writes to come. Not a
    /// count of what was, but how many there are.
    pub pending: u64,
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
    /// What was counted since `previous` was taken, of the same cache. `pending` is no count: it is what there is now.
    #[must_use]
    pub fn since(&self, previous: &Self) -> Self {
        Self {
            hits: self.hits.saturating_sub(previous.hits),
            misses: self.misses.saturating_sub(previous.misses),
            inserts: self.inserts.saturating_sub(previous.inserts),
            evictions: self.evictions.saturating_sub(previous.evictions),
            evicted_weight: self.evicted_weight.saturating_sub(previous.evicted_weight),
            refusals: self.refusals.saturating_sub(previous.refusals),
            expirations: self.expirations.saturating_sub(previous.expirations),
            removals: self.removals.saturating_sub(previous.removals),
            cleared: self.cleared.saturating_sub(previous.cleared),
            listener_panics: self
                .listener_panics
                .saturating_sub(previous.listener_panics),
            pending: self.pending,
            loads: self.loads.since(&previous.loads),
        }
    }
}
