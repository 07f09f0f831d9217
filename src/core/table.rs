//! What readers search: one generation of the index over all shards.
//!
//! A table is replaced as a whole when a shard's range runs out, under all shards' locks; the old one is freed after a grace
//! period.

use super::index::{Index, LANES};

/// See the module.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) index: Index,
    /// How many keys a shard may have here.
    max_keys: usize,
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

    /// Buckets to a range that is to take `keys` keys soon: three times as many while that is far from what is expected, then
    /// just that, then an eighth more each time.
    fn range(self, keys: usize) -> usize {
        let large = self.expected.saturating_mul(self.shards) >= Self::LARGE;
        // Shards are not equally full: by about the square root of their keys.
        let expected = self.expected + self.expected / if large { 32 } else { 16 } + 8;
        let room = if keys * 3 < expected {
            keys * 3
        } else {
            expected.max(keys + keys / 8)
        };
        let density = if large {
            Self::DENSITY_OF_LARGE
        } else {
            Self::DENSITY
        };
        room / density * 100 + (room % density * 100).div_ceil(density)
    }

    /// How many keys a range may hold before the table is replaced by a larger one: 7 of 8 lanes.
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
        }
    }

    /// Whether a shard of so many keys has no room for one more here.
    #[inline(always)]
    pub(crate) fn is_full(&self, keys: usize) -> bool {
        keys >= self.max_keys
    }
}
