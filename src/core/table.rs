//! What readers search: the index over all shards, and the way from its ids to the slots.
//!
//! A table is replaced as a whole when a shard's range or its places run out, under all shards' locks; the old one is freed
//! after a grace period.

use super::entry::Entry;
use super::index::{Fragment, Index, LANES, Place};
use super::reclaim::Pin;
use super::slab::{Directory, Slot};

/// See the module.
#[derive(Debug)]
pub(crate) struct Table<K, V> {
    pub(crate) index: Index,
    pub(crate) directory: Directory<K, V>,
    /// How many keys a shard may have here.
    max_keys: usize,
}

/// An entry that a pinned reader has found. It stays as it is for as long as the pin, in the cache or not.
#[derive(Debug)]
pub(crate) struct Hit<'p, K, V> {
    pub(crate) id: u32,
    pub(crate) place: Place,
    pub(crate) slot: &'p Slot<K, V>,
    pub(crate) entry: &'p Entry<K, V>,
}

/// How large tables and chunks of a cache are, by the number of keys that each shard is expected to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizing {
    expected: usize,
    shards: usize,
}

impl Sizing {
    /// Keys to a hundred buckets that a new index has room for: 60 % of the lanes, and 85 % in large caches, where memory
    /// counts more than the few keys that overflow into a second bucket.
    const DENSITY: usize = 720;
    const DENSITY_OF_LARGE: usize = 1020;
    /// From so many keys on a cache is large.
    const LARGE: usize = 1 << 18;
    /// The model checker cannot wait for more than one entry to leave.
    const MIN_BATCH: usize = if cfg!(nori_loom) { 1 } else { 8 };

    pub(crate) fn new(max_keys: usize, shards: usize) -> Self {
        Self {
            expected: max_keys.div_ceil(shards),
            shards,
        }
    }

    /// Keys that a shard is expected to hold.
    pub(crate) fn expected(self) -> usize {
        self.expected
    }

    /// Slots to a batch in limbo.
    pub(crate) fn batch(self) -> u32 {
        (self.expected / 32).clamp(Self::MIN_BATCH, 256) as u32
    }

    pub(crate) fn chunk_bits(self) -> u32 {
        (self.expected / 8)
            .next_power_of_two()
            .clamp(8, 1024)
            .trailing_zeros()
    }

    /// Buckets to a range that is to take `keys` keys soon: three times as many while that is far from what is expected, then
    /// just that, then an eighth more each time.
    fn range(self, keys: usize) -> usize {
        let large = self.expected * self.shards >= Self::LARGE;
        // Shards are not equally full: by about the square root of their keys.
        let expected = self.expected + self.expected / if large { 32 } else { 16 } + 8;
        let room = if keys * 3 < expected {
            keys * 3
        } else {
            expected.max(keys + keys / 8)
        };
        (room * 100).div_ceil(if large {
            Self::DENSITY_OF_LARGE
        } else {
            Self::DENSITY
        })
    }

    /// How many keys a range may hold before the table is replaced by a larger one: 7 of 8 lanes.
    fn max_keys(range: usize) -> usize {
        (range * LANES * 7 / 8).max(1)
    }

    /// Places for chunks to a shard beside such a range, more than there are `chunks`.
    fn places(self, range: usize, chunks: usize) -> usize {
        let ids = Self::max_keys(range) + 4 * self.batch() as usize;
        ids.div_ceil(1 << self.chunk_bits()).max(chunks + 1)
    }
}

impl<K, V> Table<K, V> {
    /// An empty table for shards of up to `keys` keys and `chunks` chunks, and more to come.
    pub(crate) fn new(sizing: Sizing, keys: usize, chunks: usize) -> Self {
        let range = sizing.range(keys.max(1));
        let places = sizing.places(range, chunks);
        let index = Index::new(sizing.shards, range);
        Self {
            directory: Directory::new(sizing.shards, places, sizing.chunk_bits()),
            max_keys: Sizing::max_keys(index.range()),
            index,
        }
    }

    /// Whether a shard of so many keys and chunks has no room for one more here.
    #[inline(always)]
    pub(crate) fn is_full(&self, keys: usize, chunks: usize) -> bool {
        keys >= self.max_keys || chunks >= self.directory.places()
    }

    /// Finds a key: the entry of this fragment that `is_it` accepts. The table must have been reached through the pin.
    #[inline(always)]
    pub(crate) fn find<'p>(
        &'p self,
        _pin: &'p Pin<'_>,
        shard: usize,
        fragment: Fragment,
        is_it: impl Fn(&K) -> bool,
    ) -> Option<Hit<'p, K, V>> {
        let (place, (id, slot, entry)) = self.index.find(fragment, |id| {
            // SAFETY: the id is from the shard's range of this table's index, and a pinned reader's store, with its slabs,
            // is alive.
            let slot = unsafe { self.directory.slot(shard, id) };
            // SAFETY: the id was in the index after the pin, so its slot holds the entry at least until the unpin.
            let entry = unsafe { slot.entry() };
            is_it(&entry.key).then_some((id, slot, entry))
        })?;
        Some(Hit {
            id,
            place,
            slot,
            entry,
        })
    }

    /// Starts to bring the first slot that may be the key's into the cache.
    #[inline(always)]
    pub(crate) fn prefetch_slot(&self, shard: usize, fragment: Fragment) {
        self.index.find(fragment, |id| {
            // SAFETY: as in `find`.
            unsafe { self.directory.slot(shard, id) }.prefetch();
            Some(())
        });
    }

    /// Calls `each` for every entry of a shard; one that is there throughout is shown once.
    pub(crate) fn for_each<'p>(
        &'p self,
        _pin: &'p Pin<'_>,
        shard: usize,
        mut each: impl FnMut(u32, &'p Entry<K, V>),
    ) {
        for id in self.index.ids(shard) {
            // SAFETY: as in `find`.
            each(id, unsafe { self.directory.slot(shard, id).entry() });
        }
    }
}
