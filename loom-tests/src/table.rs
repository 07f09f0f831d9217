//! dashmap's table, as far as it is used: one lock, and entries in the order in which they came.

use crate::sync::Mutex;
use loom::sync::MutexGuard;
use std::borrow::Borrow;
use std::ops::Deref;

/// See the module.
#[derive(Debug)]
pub(crate) struct DashMap<K, V, S> {
    entries: Mutex<Vec<(K, V)>>,
    hasher: S,
}

/// A key's place, for which the table stays locked.
pub(crate) enum Entry<'m, K, V> {
    Occupied(Occupied<'m, K, V>),
    Vacant(Vacant<'m, K, V>),
}

/// A place with a value.
pub(crate) struct Occupied<'m, K, V> {
    entries: MutexGuard<'m, Vec<(K, V)>>,
    position: usize,
}

/// A place without one.
pub(crate) struct Vacant<'m, K, V> {
    entries: MutexGuard<'m, Vec<(K, V)>>,
    key: K,
}

impl<K: Eq, V, S> DashMap<K, V, S> {
    pub(crate) fn with_hasher(hasher: S) -> Self {
        Self {
            entries: Mutex::default(),
            hasher,
        }
    }

    pub(crate) fn hasher(&self) -> &S {
        &self.hasher
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.lock().len()
    }

    pub(crate) fn contains_key<Q: Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let entries = self.entries.lock();
        entries.iter().any(|(other, _)| other.borrow() == key)
    }

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V> {
        let entries = self.entries.lock();
        match entries.iter().position(|(other, _)| *other == key) {
            Some(position) => Entry::Occupied(Occupied { entries, position }),
            None => Entry::Vacant(Vacant { entries, key }),
        }
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        match self.entry(key) {
            Entry::Occupied(mut there) => there.entries[there.position].1 = value,
            Entry::Vacant(place) => drop(place.insert(value)),
        }
    }

    pub(crate) fn remove(&self, key: &K) -> Option<(K, V)> {
        self.remove_if(key, |_, _| true)
    }

    pub(crate) fn remove_if<Q: Eq + ?Sized>(
        &self,
        key: &Q,
        condition: impl FnOnce(&K, &V) -> bool,
    ) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let mut entries = self.entries.lock();
        let position = entries
            .iter()
            .position(|(other, _)| other.borrow() == key)?;
        let (key, value) = &entries[position];
        condition(key, value).then(|| entries.remove(position))
    }

    pub(crate) fn retain(&self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let mut entries = self.entries.lock();
        entries.retain_mut(|(key, value)| keep(key, value));
    }
}

impl<K: Eq, V, S: Default> Default for DashMap<K, V, S> {
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, V> Occupied<'_, K, V> {
    pub(crate) fn get(&self) -> &V {
        &self.entries[self.position].1
    }
}

impl<'m, K, V> Vacant<'m, K, V> {
    pub(crate) fn insert(mut self, value: V) -> impl Deref<Target = V> + use<'m, K, V> {
        let position = self.entries.len();
        self.entries.push((self.key, value));
        Occupied {
            entries: self.entries,
            position,
        }
    }
}

impl<K, V> Deref for Occupied<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        self.get()
    }
}
