//! All shards of a cache, and the budget they share.

use super::budget::{Budget, Token};
use super::entry::{Entry, Meta};
use super::index::Fragment;
use super::reclaim::{Domain, Pin};
use super::shard::{Context, Leftovers, Refused, Seen, Shard};
use crate::sync::{AtomicU64, CachePadded, Ordering, thread};

/// How many steps of their wheels a write that needs a token lends the other shards.
const SWEEP_WORK: u32 = 1024;
/// How many entries a collection drops between two releases of the lock.
const COLLECT: u32 = 64;
/// How often a collection looks again for readers to leave.
const PATIENCE: u32 = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Store<K, V> {
    shards: Box<[Shard<K, V>]>,
    /// `shards.len().trailing_zeros()`.
    shard_bits: u32,
    budget: Budget,
    /// No entry expired at or before this time is left, as far as is known.
    swept: CachePadded<AtomicU64>,
}

/// A key's hash, spread over all its bits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    /// Makes the high bits, which choose shard and bucket, depend on all bits: a hasher may leave them zero (Knuth's
    /// multiplicative hashing, *TAOCP* 3, 6.4).
    #[inline(always)]
    pub(crate) fn new(hash: u64) -> Self {
        Self(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

impl<K, V> Store<K, V> {
    /// An empty store of `shards` shards, a power of two.
    pub(crate) fn new(max_keys: usize, shards: usize) -> Self {
        debug_assert!(shards.is_power_of_two());
        Self {
            shards: (0..shards)
                .map(|_| Shard::new(max_keys.div_ceil(shards)))
                .collect(),
            shard_bits: shards.trailing_zeros(),
            budget: Budget::new(max_keys),
            swept: CachePadded(AtomicU64::new(0)),
        }
    }

    pub(crate) fn max_keys(&self) -> usize {
        self.budget.max()
    }

    pub(crate) fn len(&self) -> usize {
        self.budget.used()
    }

    pub(crate) fn shards(&self) -> &[Shard<K, V>] {
        &self.shards
    }

    /// The shard of a key, and what is left of its hash for the shard's index.
    #[inline(always)]
    pub(crate) fn route(&self, hash: Hash) -> (&Shard<K, V>, Fragment) {
        // Two shifts, as one by 64 would overflow when there is one shard.
        let shard = (hash.0 >> 1 >> (63 - self.shard_bits)) as usize;
        let fragment = Fragment::new(hash.0 >> (64 - Fragment::BITS - self.shard_bits));
        (&self.shards[shard], fragment)
    }

    /// What a write at time `now` works with.
    #[inline(always)]
    pub(crate) fn context<'c>(&'c self, domain: &'c Domain, now: u64) -> Context<'c> {
        Context {
            domain,
            budget: &self.budget,
            now,
        }
    }

    /// Puts an entry under its key; `deadline` as in [`Meta::new`].
    #[inline(always)]
    pub(crate) fn insert(
        &self,
        context: &Context<'_>,
        pin: &Pin<'_>,
        hash: Hash,
        (key, value, deadline): (K, V, u64),
    ) -> Leftovers<K, V>
    where
        K: Eq,
    {
        let (shard, fragment) = self.route(hash);
        let meta = Meta::new(fragment, deadline);
        let mut entry = Entry { meta, key, value };
        loop {
            let (seen, _) = shard.look(pin, fragment, |key| *key == entry.key);
            match self.put(context, pin, shard, seen, entry) {
                Ok(leftovers) => return leftovers,
                Err(raced) => entry = raced,
            }
        }
    }

    /// Puts an entry in the place of what was seen of its key; `Err` with the entry if that no longer stands.
    #[inline(always)]
    pub(crate) fn put<'c>(
        &'c self,
        context: &'c Context<'c>,
        pin: &Pin<'_>,
        shard: &Shard<K, V>,
        seen: Seen,
        entry: Entry<K, V>,
    ) -> Result<Leftovers<K, V>, Entry<K, V>> {
        let mut entry = Some(entry);
        let mut token = None;
        // Relaxed: who is late sweeps once more.
        let mut sweep = context.now > self.swept.load(Ordering::Relaxed);
        loop {
            let mut writer = shard.lock(context);
            let put = writer.put(pin, seen, &mut entry, &mut token, sweep);
            let leftovers = writer.finish();
            let Err(refused) = put else {
                return Ok(leftovers);
            };
            leftovers.settle(context.domain);
            match refused {
                Refused::Raced => return Err(entry.expect("a refused entry is not taken")),
                Refused::Sweep => {
                    sweep = false;
                    token = self.sweep(context);
                }
                Refused::Empty => token = Some(self.steal(context, seen)),
            }
        }
    }

    /// Takes a key out. Returns its entry, which stays as it is for as long as the pin, if there was one alive.
    #[inline(always)]
    pub(crate) fn remove<'p>(
        &'p self,
        context: &Context<'_>,
        pin: &'p Pin<'_>,
        hash: Hash,
        is_it: impl Fn(&K) -> bool,
    ) -> (Option<&'p Entry<K, V>>, Leftovers<K, V>) {
        let (shard, fragment) = self.route(hash);
        loop {
            let (seen, hit) = shard.look(pin, fragment, &is_it);
            let Some(hit) = hit else {
                return (None, Leftovers::none());
            };
            if let Some((alive, leftovers)) = self.remove_seen(context, shard, seen) {
                return (alive.then_some(hit.entry), leftovers);
            }
        }
    }

    /// Takes out what was seen of a key and says whether it was alive; `None` if it no longer stands.
    #[inline(always)]
    pub(crate) fn remove_seen(
        &self,
        context: &Context<'_>,
        shard: &Shard<K, V>,
        seen: Seen,
    ) -> Option<(bool, Leftovers<K, V>)> {
        let mut writer = shard.lock(context);
        let removed = writer.remove(seen);
        let leftovers = writer.finish();
        match removed {
            Ok(alive) => Some((alive, leftovers)),
            Err(_) => {
                leftovers.settle(context.domain);
                None
            }
        }
    }

    /// Takes out all entries that `keep` refuses; it is called without a lock.
    pub(crate) fn retain(
        &self,
        context: &Context<'_>,
        pin: impl Fn() -> Pin<'static>,
        mut keep: impl FnMut(&Entry<K, V>) -> bool,
    ) {
        for shard in &self.shards {
            let pin = pin();
            let mut doomed = Vec::new();
            shard.for_each(&pin, |id, entry| {
                if !keep(entry) {
                    doomed.push(Seen::entry(id, entry));
                }
            });
            for some in doomed.chunks(COLLECT as usize) {
                let mut writer = shard.lock(context);
                for &seen in some {
                    // Refused if a writer was faster: then what the key has now was not refused by `keep`.
                    let _ = writer.remove(seen);
                }
                writer.finish().settle(context.domain);
            }
        }
        self.collect(context);
    }

    /// Takes everything out.
    pub(crate) fn clear(&self, context: &Context<'_>) {
        for shard in &self.shards {
            let mut writer = shard.lock(context);
            writer.clear();
            writer.finish().settle(context.domain);
        }
        self.collect(context);
    }

    /// Takes out all entries that are expired; says how many.
    pub(crate) fn purge_expired(&self, context: &Context<'_>) -> usize {
        let mut purged = 0;
        for shard in &self.shards {
            while shard.due() <= context.now {
                let mut writer = shard.lock(context);
                purged += writer.expire(COLLECT);
                writer.finish().settle(context.domain);
            }
        }
        self.collect(context);
        purged
    }

    /// Drops what has left the cache, as far as readers allow.
    fn collect(&self, context: &Context<'_>) {
        for shard in &self.shards {
            let mut patience = PATIENCE;
            loop {
                let mut writer = shard.lock(context);
                let more = writer.collect(COLLECT);
                let leftovers = writer.finish();
                if leftovers.is_none() {
                    patience -= 1;
                    thread::yield_now();
                }
                leftovers.settle(context.domain);
                if !more || patience == 0 {
                    break;
                }
            }
        }
    }

    /// The token of an expired entry, of any shard.
    #[cold]
    fn sweep<'c>(&self, context: &'c Context<'c>) -> Option<Token<'c>> {
        let mut work = SWEEP_WORK;
        for shard in self.shards.iter().filter(|it| it.due() <= context.now) {
            let mut writer = shard.lock(context);
            let token = writer.expire_one(&mut work);
            writer.finish().settle(context.domain);
            if token.is_some() {
                return token;
            }
        }
        if work > 0 {
            // Relaxed: see `put`.
            self.swept.fetch_max(context.now, Ordering::Relaxed);
        }
        None
    }

    /// A token from wherever one can be had: for a shard that is empty when the cache is full.
    #[cold]
    fn steal<'c>(&self, context: &'c Context<'c>, seen: Seen) -> Token<'c> {
        loop {
            // Starting anywhere, so that it is not always the first shard that gives.
            let start = seen.fragment().get() as usize % self.shards.len();
            let (before, after) = self.shards.split_at(start);
            for shard in after.iter().chain(before) {
                if let Some(token) = context.budget.take() {
                    return token;
                }
                let mut writer = shard.lock(context);
                let token = writer.evict();
                writer.finish().settle(context.domain);
                if let Some(token) = token {
                    return token;
                }
            }
            // Every token is in the hands of a thread that is about to publish its entry.
            thread::yield_now();
        }
    }
}

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;
    use crate::core::entry::NEVER;
    use crate::core::reclaim;
    use std::collections::HashMap;

    /// Random writes against a map: every organ stays whole, and what the store holds is what was last written.
    fn random_writes(max_keys: usize, shards: usize, keys: u64, hash_bits: u32) {
        let store = Store::new(max_keys, shards);
        let domain = reclaim::domain();
        let mut last = HashMap::new();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for now in 1..4_000_u64 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let key = random % keys;
            let hash = Hash::new(key & ((1 << hash_bits) - 1));
            let pin = reclaim::pin();
            let context = store.context(domain, now);
            let leftovers = match random >> 60 {
                0 => {
                    let (removed, leftovers) = store.remove(&context, &pin, hash, |it| *it == key);
                    assert_eq!(
                        removed.map(|entry| entry.value),
                        removed.and(last.remove(&key))
                    );
                    leftovers
                }
                1..=4 => {
                    let (shard, fragment) = store.route(hash);
                    if let Some(hit) = shard.find(&pin, fragment, |it| *it == key) {
                        assert_eq!(Some(&hit.entry.value), last.get(&key));
                        shard.touch(&pin, &hit);
                    }
                    Leftovers::none()
                }
                kind => {
                    let deadline = if kind < 10 {
                        now + random % 500 + 1
                    } else {
                        NEVER
                    };
                    last.insert(key, now);
                    store.insert(&context, &pin, hash, (key, now, deadline))
                }
            };
            drop(pin);
            leftovers.settle(domain);
            assert!(store.len() <= max_keys);
            if now % 16 == 0 {
                store.shards.iter().for_each(Shard::validate);
            }
        }
        store.clear(&store.context(domain, 4_000));
        assert_eq!(store.len(), 0);
        store.shards.iter().for_each(Shard::validate);
    }

    #[test]
    fn organs_agree_in_one_exact_shard() {
        random_writes(50, 1, 100, 64 - 1);
    }

    #[test]
    fn organs_agree_in_large_shards() {
        random_writes(600, 4, 1_000, 64 - 1);
    }

    #[test]
    fn organs_agree_when_all_keys_collide() {
        random_writes(200, 2, 400, 0);
    }
}
