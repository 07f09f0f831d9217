//! A counter that many threads add to at once, in place.
//!
//! An entry of the cache never changes once it is published, with one exception: increments of a counter add to its cell, without
//! a lock and without replacing the entry. If the entry is removed, expires or is set anew while an increment adds to the cell that
//! it found, nothing is lost: the increment began before, and counts as one that came before.
//!
//! A write that replaces the entry by something *made from* its value (an update, or an increment too large for the cell) must not
//! miss an increment. So it first kills the cell, which takes the value out in one step. An increment that finds a dead cell looks
//! the key up again; the entry that replaces it is on its way.
//!
//! | the cell's number | is |
//! |---|---|
//! | within ± [`BAND`] | the counter's value |
//! | a little beyond | the counter's value, too: increments that did not see it leave the band have added to it; the next one moves it out of the cell |
//! | around [`DEAD`], below [`ALIVE`] | no value: the cell is dead, though it may have been added to |

use crate::sync::{AtomicU64, Ordering};

/// What a cell holds; larger counters are plain values.
const BAND: i64 = 1 << 61;
/// A larger step is not added in place. It would take 2^45 of the steps that are to leave the ranges above.
const STEP: u64 = 1 << 16;
const ALIVE: i64 = -(1 << 62);
const DEAD: i64 = ALIVE - BAND;

/// The cell of a counter. The number is an `i64`'s bits.
#[derive(Debug)]
pub(crate) struct Counter(AtomicU64);

/// What became of an increment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Added {
    Sum(i64),
    /// The cell cannot take it: kill it.
    TooLarge,
    Dead,
}

impl Counter {
    /// A counter, if the cell can hold it.
    pub(crate) fn new(value: i64) -> Option<Self> {
        in_band(value).then(|| Self(AtomicU64::new(value.cast_unsigned())))
    }

    /// Adds in place.
    #[inline]
    pub(crate) fn add(&self, by: i64) -> Added {
        if by.unsigned_abs() > STEP {
            return Added::TooLarge;
        }
        // AcqRel: pairs with the other increments; each sees what was done before the earlier ones.
        let old = self.0.fetch_add(by.cast_unsigned(), Ordering::AcqRel);
        match old.cast_signed() {
            old if old < ALIVE => Added::Dead,
            old => Added::Sum(old + by),
        }
    }

    /// The value, unless the cell is dead.
    #[inline]
    pub(crate) fn get(&self) -> Option<i64> {
        // Acquire: pairs with the increments.
        alive(self.0.load(Ordering::Acquire))
    }

    /// Replaces the value if it is `expected`; the new one must be in the band.
    pub(crate) fn exchange(&self, expected: i64, new: i64) -> bool {
        let (expected, new) = (expected.cast_unsigned(), new.cast_unsigned());
        // AcqRel: as an increment.
        self.0
            .compare_exchange(expected, new, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Takes the value out, for good; `None` if another did.
    pub(crate) fn kill(&self) -> Option<i64> {
        // AcqRel: as an increment.
        alive(self.0.swap(DEAD.cast_unsigned(), Ordering::AcqRel))
    }

    /// As [`Counter::kill`], if the value is `expected`.
    pub(crate) fn kill_if(&self, expected: i64) -> bool {
        self.exchange(expected, DEAD)
    }
}

/// Whether a cell can hold this value.
#[inline]
pub(crate) fn in_band(value: i64) -> bool {
    (-BAND..=BAND).contains(&value)
}

fn alive(bits: u64) -> Option<i64> {
    let value = bits.cast_signed();
    (value >= ALIVE).then_some(value)
}

impl Clone for Counter {
    /// Another counter with the same value; a dead one is dead.
    fn clone(&self) -> Self {
        // Acquire: pairs with the increments.
        Self(AtomicU64::new(self.0.load(Ordering::Acquire)))
    }
}
