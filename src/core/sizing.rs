//! How large the parts of a cache are.

use super::list::List;
use super::policy::Policy;
use super::side::SideWords;

/// What a store is made for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) max_keys: usize,
    /// A power of two.
    pub(crate) shards: usize,
    pub(crate) policy: Policy,
    /// What each slot has beside its entry.
    pub(crate) side: SideWords,
    /// What the entries weigh at most, if they have a word for that.
    pub(crate) max_weight: Option<u64>,
}

impl Plan {
    /// Nothing but keys and shards.
    #[cfg(any(test, fuzzing, nori_loom))]
    pub(crate) fn plain(max_keys: usize, shards: usize) -> Self {
        Self {
            max_keys,
            shards,
            policy: Policy::Lru,
            side: SideWords::NONE,
            max_weight: None,
        }
    }
}

/// By the number of keys that each shard is expected to hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizing {
    expected: usize,
    shards: usize,
    policy: Policy,
    side: SideWords,
}

impl Sizing {
    /// Keys to a hundred buckets that an index has room for: 60 % of the lanes, and 85 % in large caches, where memory
    /// counts more than the few keys that overflow into a second bucket.
    const DENSITY: usize = 720;
    const DENSITY_OF_LARGE: usize = 1020;
    /// From so many keys on a cache is large.
    const LARGE: usize = 1 << 18;
    /// What a cache may set aside for slots before it has any keys: on a 64-bit Unix, where memory is given out when it is touched,
    /// addresses for all of them.
    const BYTES: usize = if cfg!(all(unix, target_pointer_width = "64", not(nori_portable))) {
        usize::MAX
    } else if cfg!(all(target_pointer_width = "64", not(nori_portable))) {
        512 << 20
    } else {
        16 << 20
    };
    /// The model checker cannot wait for more than one entry to leave.
    const MIN_BATCH: usize = if cfg!(nori_loom) { 1 } else { 8 };

    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            expected: plan.max_keys.div_ceil(plan.shards),
            shards: plan.shards,
            policy: plan.policy,
            side: plan.side,
        }
    }

    pub(crate) fn policy(self) -> Policy {
        self.policy
    }

    /// An empty list, as a shard with this policy needs it.
    pub(crate) fn list(self) -> List {
        match self.policy {
            Policy::Lru => List::new(self.expected),
            Policy::Adaptive => List::segmented(),
        }
    }

    /// What each slot has beside its entry.
    pub(crate) fn side(self) -> SideWords {
        self.side
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
        Self::BYTES / self.shards
    }

    /// Buckets to a shard's range of the index.
    pub(crate) fn range(self) -> usize {
        self.buckets(self.room())
    }

    /// Keys that a range is to have room for.
    fn room(self) -> usize {
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
}
