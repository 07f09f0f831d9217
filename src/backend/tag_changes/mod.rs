//! [`TagChanges`]: how a hit with tags need not look their versions up. `typed/tags` says what versions are.
//!
//! A store that sees every change of a version counts them ([`Counted`]). A value remembers at which count all its tags were last found to
//! hold ([`Checked`]). While the count is the same, they do. `counted` has the argument, and is what the model checker looks at.
//!
//! What is *lost* and not removed (evicted, or expired) is no change that is counted. So versions are looked up again when that was
//! last done some time ago, and now and then without that: an entry whose version was lost is a miss a little later, and versions are
//! known to be in use to whatever evicts. Nothing that was *removed* is shown meanwhile: whoever removes a tag counts, whether or not there
//! was a version, and so does whoever makes the next one.

pub(crate) mod counted;

pub(crate) use counted::Checked;

use crate::sync::{AtomicU64, Ordering};
use crate::time::recent_millis;
use counted::Counted;
use std::cell::Cell;
use std::fmt;
use std::time::Duration;

/// Each time of so many, versions are looked up whatever is known.
const TURNS: u32 = 128;

/// How many there have been, so that each has a number of its own.
static MADE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static TURN: Cell<u32> = const { Cell::new(0) };
}

/// The changes of what tags' versions are, counted by a store that sees all of them; opaque. A store that wraps another may pass the
/// other's on: see [`CacheBackend::tag_changes`](super::CacheBackend::tag_changes).
pub struct TagChanges {
    counted: Counted,
    /// After so many milliseconds versions are looked up again.
    every: u64,
}

impl TagChanges {
    /// Versions are looked up again after so long, in whole milliseconds; `None` if that is less than one.
    pub(crate) fn new(every: Duration) -> Option<Self> {
        let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX);
        if every == 0 {
            return None;
        }
        // Relaxed: a number that nobody else has.
        let id = MADE.fetch_add(1, Ordering::Relaxed) + 1;
        Some(Self {
            counted: Counted::new(id, every),
            every,
        })
    }

    /// How long what was looked up serves at most, in milliseconds.
    pub(crate) fn every(&self) -> u64 {
        self.every
    }

    /// A version was written, or may have been. To be called when it has been, and before its writer knows.
    pub(crate) fn changed(&self) {
        self.counted.changed();
    }

    /// Whether a value's tags are known to hold. Where it says that they are not, they may.
    #[inline]
    pub(crate) fn are_checked(&self, checked: &Checked) -> bool {
        let turn = TURN.get().wrapping_add(1);
        TURN.set(turn);
        !turn.is_multiple_of(TURNS) && self.counted.is_at(checked, recent_millis())
    }

    /// Looks whether a value's tags hold, and remembers it if they do.
    pub(crate) fn check(
        &self,
        checked: &Checked,
        look: impl FnOnce() -> Option<bool>,
    ) -> Option<bool> {
        self.counted.check(checked, recent_millis(), look)
    }
}

impl fmt::Debug for TagChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TagChanges").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds() -> Option<bool> {
        Some(true)
    }

    #[test]
    fn a_check_serves_until_something_changes_or_its_time_is_over() {
        let (counted, checked) = (Counted::new(1, 10), Checked::default());
        assert!(!counted.is_at(&checked, 5));
        assert_eq!(counted.check(&checked, 5, holds), Some(true));
        assert!(counted.is_at(&checked, 5) && counted.is_at(&checked, 14));
        assert!(!counted.is_at(&checked, 15));
        assert_eq!(counted.check(&checked, 15, holds), Some(true));
        assert!(counted.is_at(&checked, 24));
        counted.changed();
        assert!(!counted.is_at(&checked, 24));
        for found in [None, Some(false)] {
            assert_eq!(counted.check(&checked, 24, || found), found);
            assert!(!counted.is_at(&checked, 24));
        }
        // What changes while somebody looks.
        let look = || {
            counted.changed();
            Some(true)
        };
        assert_eq!(counted.check(&checked, 24, look), Some(true));
        assert!(!counted.is_at(&checked, 24));
    }

    #[test]
    fn what_one_has_checked_is_not_checked_for_another() {
        let (one, other, checked) = (Counted::new(1, 10), Counted::new(2, 10), Checked::default());
        assert_eq!(one.check(&checked, 0, holds), Some(true));
        assert!(one.is_at(&checked, 0) && !other.is_at(&checked, 0));
        one.changed();
        other.changed();
        assert_eq!(other.check(&checked, 0, holds), Some(true));
        assert!(!one.is_at(&checked, 0) && !other.is_at(&checked, 0));
    }

    #[test]
    fn no_time_is_too_short_to_count() {
        assert!(TagChanges::new(Duration::from_micros(999)).is_none());
        assert_eq!(TagChanges::new(Duration::MAX).unwrap().every(), u64::MAX);
    }

    #[test]
    fn now_and_then_nothing_is_known() {
        let (changes, checked) = (TagChanges::new(Duration::MAX).unwrap(), Checked::default());
        assert_eq!(changes.check(&checked, holds), Some(true));
        let known = (0..TURNS).filter(|_| changes.are_checked(&checked));
        assert_eq!(known.count(), TURNS as usize - 1);
    }
}
