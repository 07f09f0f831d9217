//! What the core works with of a key's hash.

/// A key's hash, spread over all bits; from the highest bit on they are
///
/// | bits | what they choose |
/// |---|---|
/// | as many as the number of shards takes, 10 at most | the shard, and its range of the index |
/// | [`Fragment::BITS`] | the bucket in that range |
/// | some that are chosen by nothing | |
/// | [`TAG_SHIFT`] to [`TAG_SHIFT`] + 7 | the tag |
///
/// So the tag tells keys apart that are close together, however many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route(u64);

/// The part of a key's hash that is kept with its entry: where in its shard's range it is filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment(u32);

/// Below all fragments, of whatever number of shards.
const TAG_SHIFT: u32 = 20;

const _: () = assert!(TAG_SHIFT + 8 + Fragment::BITS + MAX_RANGE_BITS <= u64::BITS);

/// So many bits choose a shard at most.
pub(super) const MAX_RANGE_BITS: u32 = 10;

impl Fragment {
    pub(crate) const BITS: u32 = 26;

    /// The low bits of `bits`.
    #[inline(always)]
    pub(crate) fn new(bits: u64) -> Self {
        Self(bits as u32 & ((1 << Self::BITS) - 1))
    }

    #[inline(always)]
    pub(crate) fn get(self) -> u32 {
        self.0
    }
}

impl Route {
    /// The route of a key with this hash.
    #[inline(always)]
    pub(crate) fn new(hash: u64) -> Self {
        // The high bits choose shard and bucket, and a hasher may leave them zero: make them depend on all (Knuth's
        // multiplicative hashing, *TAOCP* 3, 6.4).
        Self(hash.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// The route of a key whose hash is spread already.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of_spread(spread: u64) -> Self {
        Self(spread)
    }

    /// The spread hash, which equal keys have in common.
    #[inline(always)]
    pub(crate) fn spread(self) -> u64 {
        self.0
    }

    /// The route of what is filed so, in an index whose ranges are chosen by `range_bits` bits.
    pub(super) fn assemble(range: usize, range_bits: u32, fragment: Fragment, tag: u8) -> Self {
        let home = (range as u64) << Fragment::BITS | u64::from(fragment.get());
        let home = home << (u64::BITS - Fragment::BITS - range_bits);
        Self(home | u64::from(tag) << TAG_SHIFT)
    }

    #[inline(always)]
    pub(super) fn fragment(self, range_bits: u32) -> Fragment {
        Fragment::new(self.0 >> (u64::BITS - Fragment::BITS - range_bits))
    }

    /// The tag. Not 0, which marks a free lane.
    #[inline(always)]
    pub(super) fn tag(self) -> u8 {
        ((self.0 >> TAG_SHIFT) as u8).max(1)
    }
}
