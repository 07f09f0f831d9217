//! Words beside a slot, for stores whose options need more of an entry than others do.
//!
//! A store says once which ones it has. They lie behind the slots of each segment, in the same memory: a slot without them is no
//! larger, and no way to a slot is longer.

/// A set of words that each slot has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SideWords(u32);

impl SideWords {
    pub(crate) const NONE: Self = Self(0);
    /// What the entry weighs. The lock's holder alone looks at it.
    pub(crate) const WEIGHT: Self = Self(1);
    /// The limit of an entry that has an idle deadline, in a [`MetaWord`](super::life::MetaWord) without a fragment.
    pub(crate) const LIMIT: Self = Self(2);

    /// All that there are.
    pub(crate) const EACH: [Self; 2] = [Self::WEIGHT, Self::LIMIT];

    /// Those of both.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether these are among them.
    #[inline(always)]
    pub(crate) fn has(self, words: Self) -> bool {
        self.0 & words.0 == words.0
    }

    /// How many there are.
    #[inline(always)]
    pub(crate) fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Where one word of these stands.
    #[inline(always)]
    pub(super) fn place_of(self, word: Self) -> usize {
        debug_assert!(word.count() == 1 && self.has(word));
        (self.0 & (word.0 - 1)).count_ones() as usize
    }
}
