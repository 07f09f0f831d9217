//! Times as reads compare them: packed with what else lies in the word with an entry's deadline.

use crate::sync::{AtomicU64, Ordering};

/// A time in milliseconds above [`Packed::SPARE`] bits that are somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packed(u64);

impl Packed {
    /// How many low bits a deadline shares its word with.
    pub(crate) const SPARE: u32 = 26;
    /// The latest time that there is, which no clock reads: as a deadline it means never.
    const LAST: u64 = u64::MAX >> Self::SPARE;

    #[inline(always)]
    pub(crate) fn new(word: u64) -> Self {
        Self(word)
    }

    /// Above all words of this millisecond, and below those of the next. At the end of the range time stands still, short of the
    /// deadline that means never.
    #[inline(always)]
    pub(super) fn end_of(millis: u64) -> Self {
        Self((millis.min(Self::LAST - 1) + 1) << Self::SPARE).before()
    }

    #[inline(always)]
    fn before(self) -> Self {
        Self(self.0 - 1)
    }
}

/// What time has passed, for those who only look at it.
#[derive(Debug)]
pub(crate) struct Passed(AtomicU64);

impl Passed {
    /// The end of time: of everything that ends, a reader has to ask the clock whether it has.
    pub(super) fn strict() -> Self {
        Self(AtomicU64::new(Packed::end_of(u64::MAX).0))
    }

    /// Whether a deadline lies ahead for sure.
    #[inline(always)]
    pub(super) fn is_before(&self, deadline: Packed) -> bool {
        // Acquire: pairs with the Release in `move_to`; who sees that time has passed sees what was done before.
        deadline.0 > self.0.load(Ordering::Acquire)
    }

    pub(super) fn is_strict(&self) -> bool {
        // Acquire: as above.
        self.0.load(Ordering::Acquire) == Packed::end_of(u64::MAX).0
    }

    pub(super) fn make_strict(&self) {
        // Release: as in `move_to`.
        self.0.store(Packed::end_of(u64::MAX).0, Ordering::Release);
    }

    /// The last time that it was moved to.
    pub(super) fn millis(&self) -> u64 {
        // Acquire: as above.
        self.0.load(Ordering::Acquire) >> Packed::SPARE
    }

    /// Starts anew at a time.
    pub(super) fn start_at(&self, millis: u64) {
        // Release: as in `move_to`.
        self.0.store(Packed::end_of(millis).0, Ordering::Release);
    }

    /// Moves it on; never back.
    pub(super) fn move_to(&self, millis: u64) {
        // Release: pairs with the Acquire in `is_before`, for a clock that the program moves.
        self.0
            .fetch_max(Packed::end_of(millis).0, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_word_shares_does_not_count() {
        for millis in [1, 2, 1_000, Packed::LAST - 1] {
            let passed = Passed::strict();
            passed.start_at(millis);
            assert_eq!(passed.millis(), millis);
            for spare in [0, 1, (1 << Packed::SPARE) - 1] {
                let at = |millis: u64| Packed::new(millis << Packed::SPARE | spare);
                assert!(!passed.is_before(at(millis)) && !passed.is_before(at(millis - 1)));
                assert!(passed.is_before(at(millis + 1)));
            }
        }
    }

    #[test]
    fn at_the_end_of_the_range_what_never_ends_is_ahead() {
        let passed = Passed::strict();
        assert!(passed.is_strict());
        passed.start_at(1);
        assert!(!passed.is_strict());
        passed.move_to(u64::MAX);
        assert!(passed.is_before(Packed::new(Packed::LAST << Packed::SPARE)));
        assert!(!passed.is_before(Packed::new((Packed::LAST - 1) << Packed::SPARE)));
        passed.move_to(7);
        assert_eq!(passed.millis(), Packed::LAST - 1);
    }
}
