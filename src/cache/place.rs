//! Writes that depend on whether there is an entry, and give back what they do not store.

use super::lifetime::Lifetime;
use super::{Cache, Inner};
use crate::core::{Entry, Leftovers, own, reclaim};
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq, V, S: BuildHasher> Cache<K, V, S> {
    /// Stores a value if the key has a live entry, or if it has none, as `over` says; otherwise gives the value back.
    ///
    /// `publish` is to call what it gets, which puts the entry in its place and runs no user code; or to return false without that:
    /// then nothing is stored either.
    pub(super) fn put_where(
        &self,
        key: K,
        value: V,
        lifetime: Lifetime,
        over: bool,
        publish: impl Fn(&mut dyn FnMut()) -> bool,
    ) -> Result<(), V> {
        let inner: &Inner<K, V, S> = &self.inner;
        let (now, deadline) = inner.deadline(lifetime);
        let route = inner.route(&key);
        let mut entry = Some(Entry::new(route.fragment, deadline, key, value));
        let mut looked = false;
        while let Some(refused) = &entry {
            let key = &refused.key;
            // Dropped behind the pin.
            let mut leftovers = Leftovers::none();
            let pin = reclaim::pin();
            let (seen, hit, others) = if looked {
                inner.store.look_closely(&pin, route, |other| other == key)
            } else {
                let (seen, hit) = inner.store.look(&pin, route, |other| other == key);
                (seen, hit, Default::default())
            };
            looked = true;
            if inner.alive(hit, inner.soon()).is_some() != over {
                break;
            }
            let context = inner.store.context(reclaim::domain(), now);
            let mut filed = None;
            let published = publish(&mut || {
                filed = inner.store.put(
                    context,
                    &mut leftovers,
                    &pin,
                    route,
                    seen,
                    &others,
                    &mut entry,
                );
            });
            if !published {
                break;
            }
            if filed.is_some() {
                own::filed(&inner.store, route, filed);
            }
        }
        entry.map_or(Ok(()), |entry| Err(entry.value))
    }
}
