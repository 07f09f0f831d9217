//! Changing how much a cache holds while it is in use.

use super::Cache;
use super::builder::check_max_keys;
use crate::core::{TooMuchPinned, reclaim};
use crate::error::Error;

impl<K, V, S> Cache<K, V, S> {
    /// Changes how many keys the cache holds at most, beside whoever reads and writes. When it returns, that bound holds, exactly, unless
    /// another thread has set another one meanwhile: then that one does.
    ///
    /// If there are more, the least recently used of each shard go, expired ones first, a few at a time: other calls wait for a shard's
    /// lock no longer than it takes to evict 64 entries. [`max_keys`](Self::max_keys) follows step by step, and
    /// [`len`](Self::len) is never above it.
    ///
    /// A cache can grow far beyond what it was built for. What it was built for is faster, and takes less memory: see
    /// [the notes on resizing](crate::docs::design#resizing). Memory that a larger cache took is used again, and not given back.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if `max_keys` is 0 or more than the shards can hold; then nothing has changed. And if more keys are
    /// pinned than that: the cache then holds as many as [`max_keys`](Self::max_keys) says.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(100);
    /// (0..100).for_each(|n| _ = cache.insert(n, n));
    /// cache.set_max_keys(30)?;
    /// assert_eq!((cache.max_keys(), cache.len()), (30, 30));
    /// assert!(cache.contains_key(&99) && !cache.contains_key(&0));
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn set_max_keys(&self, max_keys: usize) -> Result<(), Error> {
        check_max_keys(max_keys, self.shards())?;
        let inner = &*self.inner;
        let context = inner.store.context(reclaim::domain(), inner.now());
        let resized = inner.store.set_max_keys(&context, max_keys);
        resized.map_err(|TooMuchPinned(pinned)| {
            let allowed = format_args!("at least {pinned}, as so many keys are pinned");
            Error::invalid_config("max_keys", max_keys, allowed)
        })
    }

    /// Changes what the entries weigh at most, as [`set_max_keys`](Self::set_max_keys) does the number of keys.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if `max_weight` is 0 or the cache has no weigher; then nothing has changed. And if what is pinned
    /// weighs more than that: the cache then holds what [`max_weight`](Self::max_weight) says.
    pub fn set_max_weight(&self, max_weight: u64) -> Result<(), Error> {
        if max_weight == 0 {
            return Err(Error::invalid_config("max_weight", 0, "at least 1"));
        }
        let inner = &*self.inner;
        if inner.weigher.is_none() {
            let allowed = "left alone in a cache without a weigher";
            return Err(Error::invalid_config("max_weight", max_weight, allowed));
        }
        let context = inner.store.context(reclaim::domain(), inner.now());
        let resized = inner.store.set_max_weight(&context, max_weight);
        resized.map_err(|TooMuchPinned(pinned)| {
            let allowed = format_args!("at least {pinned}, as what is pinned weighs that much");
            Error::invalid_config("max_weight", max_weight, allowed)
        })
    }
}
