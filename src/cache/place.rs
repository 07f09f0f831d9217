//! Writes that depend on whether there is an entry, and give back what they do not store.

use super::Cache;
use super::lifetime::Lifetime;
use crate::core::{Deadlines, Gate, Hit, Limit, Pinning, Route, Terms, own};
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Stores a value if the key has a live entry, or if it has none, as `over` says, and the gate lets it pass; otherwise gives
    /// the value back, as it does if there is no room for it. Without a lifetime, it is that of [`Cache::insert`].
    pub(super) fn put_where(
        &self,
        key: K,
        value: V,
        lifetime: Option<Lifetime>,
        over: bool,
        gate: &impl Gate,
    ) -> Result<(), V> {
        let inner = &*self.inner;
        let terms = inner.terms(&key, &value, Pinning::AsBefore);
        let route = inner.route(&key);
        if inner.special {
            let deadlines = inner.deadlines_of(route, &key, &value, lifetime);
            self.put_until(route, (key, value), (deadlines, terms), over, gate)
        } else {
            let deadline = inner.deadline(lifetime.unwrap_or(inner.ttl));
            self.put_until(route, (key, value), (deadline, terms), over, gate)
        }
    }

    fn put_until<L: Limit>(
        &self,
        route: Route,
        (key, value): (K, V),
        ((now, deadlines), terms): ((u64, impl Into<Deadlines<L>>), Terms),
        over: bool,
        gate: &impl Gate,
    ) -> Result<(), V> {
        let inner = &*self.inner;
        let mut write = inner.write(now);
        let goes = |hit: Option<Hit<'_, K, V>>| inner.alive(hit).is_some() == over;
        let put = write.put_where(route, (deadlines, key, value), terms, goes, gate);
        if let Ok(id) = put {
            own::filed(&write, route, id);
        }
        // What was refused is dropped behind the pin.
        drop(write);
        put.map(|_| ()).map_err(|(.., value)| value)
    }
}
