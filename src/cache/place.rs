//! Writes that depend on whether there is an entry, and give back what they do not store.

use super::Cache;
use super::lifetime::Lifetime;
use crate::core::{Gate, own};
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Stores a value if the key has a live entry, or if it has none, as `over` says, and the gate lets it pass; otherwise gives
    /// the value back.
    pub(super) fn put_where(
        &self,
        key: K,
        value: V,
        lifetime: Lifetime,
        over: bool,
        gate: &impl Gate,
    ) -> Result<(), V> {
        let inner = &*self.inner;
        let (now, deadline) = inner.deadline(lifetime);
        let route = inner.route(&key);
        let mut write = inner.write(now);
        let goes = |entry: Option<&_>| inner.alive(entry).is_some() == over;
        let put = write.put_where(route, (deadline, key, value), goes, gate);
        if let Ok(id) = put {
            own::filed(&write, route, id);
        }
        // What was refused is dropped behind the pin.
        drop(write);
        put.map(|_| ()).map_err(|(_, value)| value)
    }
}
