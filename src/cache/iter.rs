use super::Cache;
use crate::core::reclaim;
use std::fmt;

/// Iterator over clones of a cache's live entries; see [`Cache::iter`].
pub struct Iter<'c, K, V, S = ahash::RandomState> {
    cache: &'c Cache<K, V, S>,
    /// The next shard to copy from.
    shard: usize,
    copied: std::vec::IntoIter<(K, V)>,
}

impl<'c, K, V, S> Iter<'c, K, V, S> {
    pub(super) fn new(cache: &'c Cache<K, V, S>) -> Self {
        Self {
            cache,
            shard: 0,
            copied: Vec::new().into_iter(),
        }
    }
}

impl<K: Clone, V: Clone, S> Iterator for Iter<'_, K, V, S> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            if let Some(pair) = self.copied.next() {
                return Some(pair);
            }
            let inner = &*self.cache.inner;
            let shard = self.shard;
            if shard == inner.store.shards().len() {
                return None;
            }
            self.shard += 1;
            let now = inner.now();
            let pin = reclaim::pin();
            let mut copied = Vec::new();
            inner.store.for_each(&pin, shard, |hit| {
                if !hit.life().has_expired(now) {
                    copied.push((hit.entry.key.clone(), hit.entry.value.clone()));
                }
            });
            self.copied = copied.into_iter();
        }
    }
}

impl<K: Clone, V: Clone, S> std::iter::FusedIterator for Iter<'_, K, V, S> {}

impl<K, V, S> fmt::Debug for Iter<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
