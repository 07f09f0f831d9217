//! What readers search: one generation of the index over all shards.
//!
//! A table is replaced as a whole when a shard's range runs out, under all shards' locks; the old one is freed after a grace
//! period. Where other shards would get far more than they need by that, the shard gets an annex in the table that is there,
//! under its own lock. So the memory of a table is bounded by what the keys in it need, whatever the hasher makes of them.

use super::index::{Index, LANES};

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) index: Index,
    /// How many keys a shard may have here without an annex.
    max_keys: usize,
    sizing: Sizing,
}

/// How large the tables and shards of a cache are, by the number of keys that each shard is expected to hold.
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
    /// How many lanes a table may have for each key in the cache, if it is larger than one for all that are expected.
    const MOST_LANES: usize = 4;
    /// What a cache may set aside for slots before it has any keys: addresses, where memory is given out when it is touched.
    const BYTES: usize = if cfg!(all(target_pointer_width = "64", not(nori_portable))) {
        512 << 20
    } else {
        16 << 20
    };
    const BYTES_OF_SHARD: usize = 64 << 20;
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

    /// Slots that a shard is expected to need: shards are not equally full, by a few times the square root of their keys, and
    /// four batches are in limbo at most as long as no reader takes its time.
    pub(crate) fn slots(self) -> usize {
        if cfg!(nori_loom) {
            // So that there is a second segment in every model.
            return 1;
        }
        self.expected + 3 * self.expected.isqrt() + 4 * self.batch() as usize
    }

    /// The most that a shard may set aside for slots before it has any keys.
    pub(crate) fn bytes(self) -> usize {
        (Self::BYTES / self.shards).min(Self::BYTES_OF_SHARD)
    }

    /// Buckets to a range that is to take `keys` keys soon: for all that is expected, from an eighth of that on, then an eighth
    /// more each time. Before that, a third of that eighth, a ninth and so on: each step has three times the room of the one
    /// before, so that all growths of a fill together file a fraction of its keys again.
    fn range(self, keys: usize) -> usize {
        let room = if keys.saturating_mul(8) < self.expected {
            let mut step = self.expected / 8;
            while step / 3 >= keys * 2 {
                step /= 3;
            }
            step
        } else {
            self.room_for_all().max(keys + keys / 8)
        };
        self.buckets(room)
    }

    /// Keys to a range in a table for all that is expected.
    fn room_for_all(self) -> usize {
        // Shards are not equally full: by a few times the square root of their keys.
        let more = if self.is_large() {
            (self.expected / 32).max(3 * self.expected.isqrt())
        } else {
            self.expected / 16
        };
        self.expected + more + 8
    }

    fn is_large(self) -> bool {
        self.expected.saturating_mul(self.shards) >= Self::LARGE
    }

    fn buckets(self, room: usize) -> usize {
        let density = if self.is_large() {
            Self::DENSITY_OF_LARGE
        } else {
            Self::DENSITY
        };
        room / density * 100 + (room % density * 100).div_ceil(density)
    }

    /// Whether ranges of so many buckets are in proportion to a cache of `all` keys, or to one that is full.
    fn is_worth(self, range: usize, all: usize) -> bool {
        let lanes = range.saturating_mul(self.shards * LANES);
        range <= self.buckets(self.room_for_all()) || lanes <= all.saturating_mul(Self::MOST_LANES)
    }

    /// How many keys a range may hold before it needs an annex, or the table a larger one: 7 of 8 lanes.
    fn max_keys(range: usize) -> usize {
        (range * LANES * 7 / 8).max(1)
    }
}

impl Table {
    /// An empty table for shards of up to `keys` keys, and more to come.
    pub(crate) fn new(sizing: Sizing, keys: usize) -> Self {
        let index = Index::new(sizing.shards, sizing.range(keys.max(1)));
        Self {
            max_keys: Sizing::max_keys(index.range()),
            index,
            sizing,
        }
    }

    /// Whether a shard of so many keys has no room for one more here, but in its annex.
    #[inline(always)]
    pub(crate) fn is_full(&self, keys: usize) -> bool {
        keys >= self.max_keys
    }

    /// Whether a larger table should take its place, so that a shard of so many keys has room for one more: if not, the shard
    /// is so much fuller than the others that it should have an annex. `all` is how many keys there are in all shards.
    pub(crate) fn is_outgrown(&self, keys: usize, all: usize) -> bool {
        let range = self.sizing.range(keys + 1);
        self.is_full(keys) && range > self.index.range() && self.sizing.is_worth(range, all)
    }

    /// Makes room for a shard of `keys` keys in a table that no reader knows yet.
    pub(crate) fn reserve(&self, shard: usize, keys: usize) {
        if keys > self.max_keys {
            self.index.reserve(shard, keys);
        }
    }
}
