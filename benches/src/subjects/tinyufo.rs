//! TinyUFO: S3-FIFO with TinyLFU admission.

use std::sync::Arc;

use crate::{Key, Subject, Value};

/// `tinyufo::TinyUfo` in its fast form. It hashes with its own ahash state, looks up by `&K` only, and keeps 64-bit
/// hashes in place of the keys.
pub struct TinyUfo<K, V>(Arc<tinyufo::TinyUfo<K, V>>);

impl<K: Key, V: Value> Subject<K, V> for TinyUfo<K, V> {
    const NAME: &'static str = "tinyufo";

    fn fresh(capacity: usize) -> Self {
        Self(Arc::new(tinyufo::TinyUfo::new(capacity, capacity)))
    }

    fn share(&self) -> Option<Self> {
        Some(Self(Arc::clone(&self.0)))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key)
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.put(key, value, 1);
    }
}
