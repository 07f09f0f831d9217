//! Where things are in the index, and what a bucket says about a key.

use super::bucket::OVERFLOW;
use crate::sync::{AtomicU32, Ordering};
use std::ptr::NonNull;

/// A place in the index. Buckets of a range's annex are numbered on behind those of all ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) bucket: usize,
    pub(super) lane: usize,
}

/// The lane that an id is filed in, for whoever puts another one there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane(NonNull<AtomicU32>);

// SAFETY: what it points to is an atomic.
unsafe impl Send for Lane {}

impl Lane {
    #[inline(always)]
    pub(super) fn new(lane: &AtomicU32) -> Self {
        Self(NonNull::from(lane))
    }

    /// Puts another id of the same fragment in the place. For the one writer.
    ///
    /// # Safety
    /// No id has come to the range, or left it, since this lane was found.
    #[inline(always)]
    pub(crate) unsafe fn replace(self, id: u32) {
        // Release: pairs with the Acquire in `find`.
        // SAFETY: the bucket is still there, by the contract: that an annex is replaced changes the range.
        unsafe { self.0.as_ref() }.store(id, Ordering::Release);
    }
}

/// What is looked for may be in a bucket further on.
#[derive(Debug)]
pub(crate) struct Further;

/// What one bucket says about a key.
pub(super) enum Probe<R> {
    /// The id in this lane was accepted.
    Found(usize, R),
    Absent,
    /// It may be in the next bucket.
    Further,
}

impl<R> Probe<R> {
    /// What a bucket with this tail, in which a key is not, says about it.
    #[inline(always)]
    pub(super) fn absent(tail: u64) -> Self {
        if tail < OVERFLOW {
            Self::Absent
        } else {
            Self::Further
        }
    }
}
