//! A store and its domain, as the cache puts them together.

use crate::core::garbage::Garbage;
use crate::core::index::Route;
use crate::core::meta::NEVER;
use crate::core::policy::Policy;
use crate::core::reclaim::{Domain, Pin, Record};
use crate::core::shard::{Pinning, Special, Terms, Weighed};
use crate::core::side::SideWords;
use crate::core::sizing::Plan;
use crate::core::store::Store;
use crate::core::write::Write;

pub(super) struct World<V> {
    pub(super) domain: Domain,
    pub(super) store: Store<u64, V>,
}

/// A key of a shard, out of `shards`.
pub(super) fn key_in(shard: usize, shards: usize) -> u64 {
    keys_in(shard, shards)
        .next()
        .expect("keys are spread over the shards")
}

/// Keys of a shard, out of `shards`.
pub(super) fn keys_in(shard: usize, shards: usize) -> impl Iterator<Item = u64> {
    // Any store of so many shards routes alike.
    let store = Store::<u64, ()>::new(shards, shards);
    (1..).filter(move |&key| store.index().range_of(Route::new(key)) == shard)
}

impl<V> World<V> {
    pub(super) fn new(max_keys: usize, shards: usize) -> Self {
        Self::with_policy(max_keys, shards, Policy::Lru)
    }

    pub(super) fn with_policy(max_keys: usize, shards: usize, policy: Policy) -> Self {
        Self {
            domain: Domain::new(),
            store: Store::with(Plan {
                policy,
                ..Plan::plain(max_keys, shards)
            }),
        }
    }

    /// With a limit for each entry beside its idle deadline, and one shard.
    pub(super) fn with_idle_times(max_keys: usize) -> Self {
        Self {
            domain: Domain::new(),
            store: Store::with(Plan {
                side: SideWords::LIMIT,
                ..Plan::plain(max_keys, 1)
            }),
        }
    }

    /// One whose entries are weighed.
    pub(super) fn weighed(max_keys: usize, max_weight: u64, shards: usize) -> Self {
        Self {
            domain: Domain::new(),
            store: Store::with(Plan {
                max_keys,
                shards,
                policy: Policy::Lru,
                side: SideWords::WEIGHT,
                max_weight: Some(max_weight),
            }),
        }
    }

    /// What the entries weigh.
    pub(super) fn weight(&self) -> u64 {
        let pool = self.store.budget().weight();
        pool.expect("they are weighed").used()
    }

    /// As `Cache::insert`, of an entry that is weighed or pinned. Says whether it is stored.
    pub(super) fn insert_on(&self, record: &Record, key: u64, value: V, terms: Terms) -> bool {
        let route = Route::new(key);
        let mut write = self.write(record);
        let entry = (NEVER, key, value);
        if terms.pinning == Pinning::No {
            write.insert_on::<_, Weighed>(route, entry, terms).is_ok()
        } else {
            write.insert_on::<_, Special>(route, entry, terms).is_ok()
        }
    }

    /// As `Cache::get_with`: `read` runs outside of the epoch.
    pub(super) fn hold<R>(
        &self,
        record: &Record,
        key: u64,
        read: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let pin = record.pin(&self.domain);
        let route = Route::new(key);
        let hit = self.store.find(&pin, route, |other| *other == key)?;
        let held = self.store.hold(hit.found(), pin);
        Some(read(&held.entry().value))
    }

    /// As `Cache::get`.
    pub(super) fn get<R>(
        &self,
        record: &Record,
        key: u64,
        read: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let route = Route::new(key);
        let pin = record.pin(&self.domain);
        let hit = self.store.find(&pin, route, |other| *other == key)?;
        self.store.touch(&pin, route, &hit);
        Some(read(&hit.entry.value))
    }

    /// A value that a pinned reader finds.
    pub(super) fn find<'p>(&'p self, pin: &'p Pin<'_>, key: u64) -> Option<&'p V> {
        let route = Route::new(key);
        let hit = self.store.find(pin, route, |other| *other == key);
        hit.map(|hit| &hit.entry.value)
    }

    /// As `Cache::contains_key`.
    pub(super) fn contains(&self, record: &Record, key: u64) -> bool {
        let route = Route::new(key);
        let pin = record.pin(&self.domain);
        let hit = self.store.find(&pin, route, |other| *other == key);
        hit.is_some()
    }

    /// As `Cache::insert`.
    pub(super) fn insert(&self, record: &Record, key: u64, value: V) {
        let route = Route::new(key);
        self.write(record).insert(route, NEVER, key, value);
    }

    /// As `Cache::remove`.
    pub(super) fn remove(&self, record: &Record, key: u64) -> bool {
        let route = Route::new(key);
        let mut write = self.write(record);
        write.remove(route, |other| *other == key).is_some()
    }

    /// As `Cache::remove` where a listener is told: it is shown the value when the write is over.
    pub(super) fn take_and_tell<R>(
        &self,
        record: &Record,
        key: u64,
        tell: impl FnOnce(&V) -> R,
    ) -> Option<R> {
        let route = Route::new(key);
        let context = self.store.context(&self.domain, 0);
        let mut garbage = Garbage::none();
        let pin = record.pin(&self.domain);
        let seen = self.store.look(&pin, route, |other| *other == key);
        let shard = &self.store.shards()[self.store.index().range_of(route)];
        let value: *const V = &shard.seen(&pin, &seen)?.entry.value;
        let hold = shard.locked(&context, &mut garbage, |locked| {
            let hold = locked.hold_beyond(seen.id()?, record.pin(&self.domain));
            locked.remove(seen).ok()?.then_some(hold)
        })?;
        drop(garbage);
        drop(pin);
        // SAFETY: what the models are to show: the value is not dropped while it is held.
        let told = tell(unsafe { &*value });
        drop(hold);
        Some(told)
    }

    fn write<'w>(&'w self, record: &'w Record) -> Write<'w, u64, V> {
        self.write_at(record, 0)
    }

    pub(super) fn write_at<'w>(&'w self, record: &'w Record, now: u64) -> Write<'w, u64, V> {
        Write::new(&self.store, &self.domain, record.pin(&self.domain), now)
    }

    /// Moves what a shard has in limbo on, as far as readers soon allow; says whether that was all of it.
    pub(super) fn collect(&self, shard: usize) -> bool {
        let context = self.store.context(&self.domain, 0);
        // Seal, ask idle readers, free; and once more for a reader that came back.
        (0..4).any(|_| {
            let shard = &self.store.shards()[shard];
            let (_, more) = shard.collect(&context, &mut Garbage::none(), u32::MAX);
            !more
        })
    }

    pub(super) fn validate(&self) {
        self.store.validate();
    }
}
