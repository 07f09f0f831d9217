//! The one word that goes with each entry, in its slot.

use super::index::Fragment;

/// Deadline and hash fragment in one word: `deadline << 26 | fragment`.
///
/// The fragment is kept so that an index can be rebuilt, and an entry found in it, without calling a user's `Hash` or `Eq`
/// under the shard's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta(u64);

/// The deadline of an entry that never expires, and the end of the clock's range: 2^38 - 1 ms, 8.7 years.
pub(crate) const NEVER: u64 = (1 << (64 - Fragment::BITS)) - 1;

impl Meta {
    /// `deadline` in milliseconds of the cache's clock; at or beyond [`NEVER`] it means never.
    #[inline(always)]
    pub(crate) fn new(fragment: Fragment, deadline: u64) -> Self {
        Self(deadline.min(NEVER) << Fragment::BITS | u64::from(fragment.get()))
    }

    #[inline(always)]
    pub(crate) fn of_word(word: u64) -> Self {
        Self(word)
    }

    /// The whole word: those of later deadlines are greater.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn fragment(self) -> Fragment {
        Fragment::new(self.0)
    }

    #[inline(always)]
    pub(crate) fn deadline(self) -> u64 {
        self.0 >> Fragment::BITS
    }

    /// The same entry with another deadline.
    #[inline(always)]
    pub(crate) fn with_deadline(self, deadline: u64) -> Self {
        Self::new(self.fragment(), deadline)
    }
}
