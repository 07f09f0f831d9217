//! A count of changes, and values that remember at which count they were checked: the concurrent part, without a store or a clock.
//!
//! **Who changes something** does it first, and counts then, before anybody is told that it is done. **Who checks something** reads the
//! count first, looks then, and remembers the count that was read. **Who relies on a check** reads the count, and compares.
//!
//! Whoever comes after a change is done reads a count that the change, or one behind it, has led to. If the check that he finds was
//! made at that count, its look came behind the reading of it (Acquire), and so behind the change (Release): it saw it. If the check was
//! made at an earlier count, he does not rely on it. A check that began before the change and ends after it is remembered at the
//! earlier count. Counts have 64 bits and do not come round.
//!
//! **Time.** When what was looked at may have got lost without a change, the count moves on by itself: whoever reads it when it is due
//! moves it on, and then says when it is due next. Who reads that it is not due yet (Acquire) also reads the count that it was moved on to
//! (Release).
//!
//! A value may be in several stores, and is remembered for the first of them that checks it: the numbers of others mean nothing.

use crate::sync::{AtomicU64, Ordering};

pub(crate) struct Counted {
    /// Tells it from all others. Not 0.
    id: u64,
    count: AtomicU64,
    /// When the count moves on by itself, in milliseconds.
    due: AtomicU64,
    every: u64,
}

/// When something was last checked: at which count, and whose. Zeros: never.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    by: AtomicU64,
    at: AtomicU64,
}

impl Counted {
    /// `id` is not 0 and nobody else's. The count moves on by itself after so many milliseconds.
    pub(crate) fn new(id: u64, every: u64) -> Self {
        Self {
            id,
            count: AtomicU64::new(1),
            due: AtomicU64::new(0),
            every,
        }
    }

    /// Something was changed. After the change, and before anybody is told that it is done.
    pub(crate) fn changed(&self) {
        // Release: pairs with the Acquire in `count`; who reads this count, or a later one, sees the change.
        self.count.fetch_add(1, Ordering::Release);
    }

    /// Whether what was checked can be relied on by somebody who came at the time `now` or later.
    #[inline]
    pub(crate) fn is_at(&self, checked: &Checked, now: u64) -> bool {
        // Relaxed, both: numbers, of which the count says what they are worth. `at` is written only by those who know whose it is.
        let (by, at) = (
            checked.by.load(Ordering::Relaxed),
            checked.at.load(Ordering::Relaxed),
        );
        by == self.id && at == self.count(now)
    }

    /// Looks, and remembers when, if what was found is what is wanted.
    pub(crate) fn check(
        &self,
        checked: &Checked,
        now: u64,
        look: impl FnOnce() -> Option<bool>,
    ) -> Option<bool> {
        // Before the look: what changes meanwhile is not in the count.
        let count = self.count(now);
        let found = look();
        if found == Some(true) {
            self.remember(checked, count);
        }
        found
    }

    fn remember(&self, checked: &Checked, count: u64) {
        // Relaxed: it is written once, and says nothing of anything else.
        let by = checked
            .by
            .compare_exchange(0, self.id, Ordering::Relaxed, Ordering::Relaxed);
        if by.is_ok() || by == Err(self.id) {
            // Relaxed: as in `is_at`.
            checked.at.store(count, Ordering::Relaxed);
        }
    }

    #[inline]
    fn count(&self, now: u64) -> u64 {
        // Acquire: pairs with the Release in `move_on`; who reads that it is not due reads what it was moved on to.
        if now >= self.due.load(Ordering::Acquire) {
            self.move_on(now);
        }
        // Acquire: pairs with the Release in `changed`; what is looked at next has been changed.
        self.count.load(Ordering::Acquire)
    }

    #[cold]
    fn move_on(&self, now: u64) {
        self.changed();
        let due = now.saturating_add(self.every);
        // Release: pairs with the Acquire in `count`. Whoever else moves on may make it due a little earlier, and no later.
        self.due.store(due, Ordering::Release);
    }
}
