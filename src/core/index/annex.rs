//! Where a range keeps what it has no room for.
//!
//! Ranges are equally large. A hasher that prefers some of them would make all others as large as the fullest has to be, so
//! an overfull range has an annex instead: an index of its own, which is looked into only for keys whose nearest bucket says
//! that something overflowed from it. An entry in an annex counts as one overflow of that bucket, and of no other.
//!
//! The range's one writer replaces the annex as a whole when it is full, or when most of what was in it is gone. Readers that
//! are in the old one find there what was there throughout, as nothing changes it any more. It is freed after a grace period.

use super::route::Route;
use super::{Fragment, Index, LANES, Place};
use crate::sync::Guarded;

/// See the module.
#[derive(Debug)]
pub(super) struct Annex {
    pub(super) index: Index,
    /// How many ids are filed here.
    len: Guarded,
}

impl Annex {
    /// Ids to a bucket when an annex is full: 7 of 8 lanes. The model checker cannot wait for as many.
    const FILL: usize = if cfg!(nori_loom) { 1 } else { LANES * 7 / 8 };
    const MIN_BUCKETS: usize = if cfg!(nori_loom) { 1 } else { 4 };

    /// An empty annex for `keys` keys, of a range of `range` buckets.
    pub(super) fn new(keys: usize, range: usize) -> Self {
        let buckets = keys.div_ceil(Self::FILL).max(Self::least(range));
        Self {
            index: Index::without_annexes(buckets),
            len: Guarded::new(0),
        }
    }

    /// So small an annex is not replaced by a smaller one.
    fn least(range: usize) -> usize {
        (range / 64).max(Self::MIN_BUCKETS)
    }

    /// How many ids are filed here. For the one writer, as all that follows.
    pub(super) fn len(&self) -> usize {
        self.len.get() as usize
    }

    fn room(&self) -> usize {
        self.index.range() * Self::FILL
    }

    pub(super) fn is_full(&self) -> bool {
        self.len() >= self.room()
    }

    /// Whether so little is here that a smaller one will do.
    pub(super) fn is_too_large(&self, range: usize) -> bool {
        self.len() * 4 < self.room() && self.index.range() > Self::least(range)
    }

    pub(super) fn insert(&self, fragment: Fragment, tag: u8, id: u32) {
        let filed = self.index.insert(Self::route(fragment, tag), id);
        assert!(filed, "an annex that is not full has room");
        self.len.set(self.len.get() + 1);
    }

    pub(super) fn remove(&self, fragment: Fragment, id: u32) {
        self.index.remove(0, Self::fragment(fragment), id);
        self.len.set(self.len.get() - 1);
    }

    pub(super) fn place_of(&self, fragment: Fragment, id: u32) -> Option<Place> {
        self.index.place_of(0, Self::fragment(fragment), id)
    }

    /// As [`Index::find`].
    pub(super) fn find<R>(
        &self,
        fragment: Fragment,
        tag: u8,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Option<(Place, R)> {
        self.index.find(Self::route(fragment, tag), accept)
    }

    fn route(of: Fragment, tag: u8) -> Route {
        Route::assemble(0, 0, Self::fragment(of), tag)
    }

    /// By what a fragment is filed here: where a range is overfull, the high bits, which choose the bucket, may be the same for many.
    /// The multiplication makes them depend on all others, and takes no two fragments to the same.
    pub(super) fn fragment(of: Fragment) -> Fragment {
        Fragment::new(u64::from(of.get()) * 0x9e37_79b1)
    }
}

/// An annex that was replaced. To be dropped when no reader can be in it any more.
#[derive(Debug)]
pub(crate) struct Outgrown(pub(super) *mut Annex);

// SAFETY: it is the only owner of the annex, all of which is `Send`.
unsafe impl Send for Outgrown {}

impl Drop for Outgrown {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, taken out of its index once, and dropped here alone, when no reader is in it.
        drop(unsafe { Box::from_raw(self.0) });
    }
}
