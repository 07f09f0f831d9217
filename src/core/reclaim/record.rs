//! A thread's record, and the pin that is held through it.

use super::holds::{self, Cell, Holds};
use crate::sync::{AtomicU64, Ordering};
use std::marker::PhantomData;

/// `Record::state` is one word, in which an epoch is an even number:
///
/// | state | bits | who may change it |
/// |---|---|---|
/// | offline | `0` | the reader, to inside |
/// | outside, announced epoch `e` | `e` | the reader, to inside; a collector, to offline |
/// | inside, announced epoch `e` | `e \| INSIDE` | the reader |
/// | abandoned | [`ABANDONED`] | who leases a record for one pin, to offline |
pub(super) const OFFLINE: u64 = 0;
pub(super) const INSIDE: u64 = 1;
/// Leased for one pin, which has ended. A number above every epoch, so that nobody waits for the record.
pub(super) const ABANDONED: u64 = u64::MAX - INSIDE;

/// How many caches count in records.
pub(super) const TALLIES: usize = if cfg!(nori_loom) { 1 } else { 6 };

/// A thread's place in the domain. Its first line is what the thread writes at each read.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Record {
    pub(super) state: AtomicU64,
    pub(super) holds: Holds,
    pub(super) index: usize,
    /// Hits and misses of each cache that counts here; see [`super::tally`].
    pub(super) counts: [AtomicU64; 2 * TALLIES],
}

impl Record {
    pub(super) fn new(index: usize) -> Self {
        Self {
            state: AtomicU64::new(OFFLINE),
            holds: Holds::new(),
            index,
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// A record that is nobody's, and always inside: no pin begins through it.
    #[cfg(not(nori_loom))]
    pub(super) const fn nobody() -> Self {
        Self {
            state: AtomicU64::new(INSIDE),
            holds: Holds::nobodys(),
            index: usize::MAX,
            counts: [const { AtomicU64::new(0) }; 2 * TALLIES],
        }
    }
}

/// While this lives, nothing that the thread can reach is reused or freed.
#[derive(Debug)]
pub(crate) struct Pin<'d> {
    pub(super) record: &'d Record,
    /// The record's state when the pin ends: outside, or, for a pin inside another, as it is.
    after: u64,
    /// A pin belongs to its thread.
    not_send: PhantomData<*const ()>,
}

impl<'d> Pin<'d> {
    #[inline(always)]
    pub(super) fn new(record: &'d Record, after: u64) -> Self {
        Self {
            record,
            after,
            not_send: PhantomData,
        }
    }

    /// A small number that no other thread has while this one holds its record.
    #[inline(always)]
    pub(crate) fn index(&self) -> usize {
        self.record.index
    }

    /// Holds a slot that was found under this pin, which ends; unless it is inside another one, which does as well, or the last of
    /// its thread: then it goes on as long as the hold.
    #[inline(always)]
    pub(crate) fn hold(self, slot: *mut ()) -> Hold<'d> {
        if self.goes_on() {
            return Hold::Pin(self);
        }
        // The pin ends behind this.
        Hold::Cell(self.record.holds.hold(slot))
    }

    /// As [`Pin::hold`], where nothing was found.
    #[inline(always)]
    pub(crate) fn hold_nothing(self) -> Hold<'d> {
        if self.goes_on() {
            return Hold::Pin(self);
        }
        Hold::Nothing
    }

    /// As [`Pin::hold`], and the pin goes on. Who has a hold of this thread already may outlive the pin.
    pub(crate) fn hold_too(&self, slot: *mut ()) -> Hold<'d> {
        if self.after == ABANDONED {
            // The thread has no record but for its pins, so the first hold is one that goes on.
            return Hold::Nothing;
        }
        Hold::Cell(self.record.holds.hold(slot))
    }

    /// Holds a slot that is in use, although neither this pin nor one that it is inside of goes on as long.
    pub(crate) fn hold_beyond(self, slot: *mut ()) -> Hold<'d> {
        if self.after == ABANDONED {
            // The record is this pin's alone.
            return Hold::Pin(self);
        }
        Hold::Cell(self.record.holds.hold(slot))
    }

    /// Whether the pin is inside another one.
    #[inline(always)]
    pub(crate) fn is_inner(&self) -> bool {
        self.after & INSIDE != 0
    }

    /// Whether the pin is inside another one, or the record its own.
    #[inline(always)]
    fn goes_on(&self) -> bool {
        self.is_inner() || self.after == ABANDONED
    }

    /// Makes the record, which was leased for this pin, one that others may have when it ends.
    pub(crate) fn and_abandon(mut self) -> Self {
        self.after = ABANDONED;
        self
    }
}

/// While this lives, the slot that it was made for is not used again.
#[derive(Debug)]
pub(crate) enum Hold<'d> {
    /// Outside of the epoch.
    Cell(&'d Cell),
    /// Inside of it, as ever.
    Pin(#[expect(dead_code, reason = "it is there to be dropped")] Pin<'d>),
    Nothing,
}

impl Drop for Hold<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if let Self::Cell(cell) = self {
            holds::release(cell);
        }
    }
}

impl Drop for Pin<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `look`, and in `reap` for a record that is abandoned; our reads end here.
        self.record.state.store(self.after, Ordering::Release);
    }
}
