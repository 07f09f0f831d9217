//! What a write leaves to be dropped when it holds no lock and no pin.

use super::entry::Entry;
use super::index::Outgrown;
use super::slab::Segment;
use std::mem::MaybeUninit;
use std::ptr;

/// How many entries a write leaves at most, as long as no more than a batch is to be dropped: one, one for each that it finds
/// expired, and one more where its own replaces another.
const USUAL: usize = 6;

/// Entries, and what else readers may have been in. The caller lends it to a lock, so that an entry is moved only once, from its
/// slot to here, and drops it last: the user's code runs then, and a pin would hold others up meanwhile.
#[derive(Debug)]
pub(crate) struct Garbage<K, V> {
    /// How many of `entries` are initialised.
    len: usize,
    entries: [MaybeUninit<Entry<K, V>>; USUAL],
    /// Null, or a box.
    more: *mut More<K, V>,
}

/// What few writes leave.
#[derive(Debug)]
struct More<K, V> {
    entries: Vec<Entry<K, V>>,
    retired: Vec<Retired>,
}

impl<K, V> Garbage<K, V> {
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Self {
            len: 0,
            entries: [const { MaybeUninit::uninit() }; USUAL],
            more: ptr::null_mut(),
        }
    }

    /// Moves an entry here.
    ///
    /// # Safety
    /// `entry` is initialised, and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn take(&mut self, entry: *const Entry<K, V>) {
        let Some(place) = self.entries.get_mut(self.len) else {
            // SAFETY: by the contract.
            return self.more().entries.push(unsafe { entry.read() });
        };
        // SAFETY: initialised, by the contract, and a place of ours is nowhere else. The entry is ours from here on.
        unsafe { place.as_mut_ptr().copy_from_nonoverlapping(entry, 1) };
        self.len += 1;
    }

    /// Adds something that is no entry.
    pub(crate) fn push(&mut self, retired: Retired) {
        self.more().retired.push(retired);
    }

    #[cold]
    #[inline(never)]
    fn more(&mut self) -> &mut More<K, V> {
        if self.more.is_null() {
            self.more = Box::into_raw(Box::new(More {
                entries: Vec::new(),
                retired: Vec::new(),
            }));
        }
        // SAFETY: made above, here or in an earlier call, and borrowed with `self`.
        unsafe { &mut *self.more }
    }

    /// Drops the entries. If the drop of one panics, the others are dropped all the same.
    ///
    /// # Safety
    /// Called once, at the end.
    #[inline(always)]
    unsafe fn drop_entries(&mut self) {
        let entries = self.entries.as_mut_ptr().cast::<Entry<K, V>>();
        // SAFETY: the first `len` are initialised, and dropped here alone.
        unsafe { ptr::slice_from_raw_parts_mut(entries, self.len).drop_in_place() };
    }

    /// As [`Garbage::drop_entries`], and the rest.
    #[cold]
    #[inline(never)]
    unsafe fn drop_all(&mut self) {
        // SAFETY: made by `Box::into_raw`, and dropped here alone: at the end of this function, however that is reached.
        let _more = unsafe { Box::from_raw(self.more) };
        // SAFETY: by the contract.
        unsafe { self.drop_entries() };
    }

    /// How many entries and annexes.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: null, or made in `more`.
        let Some(more) = (unsafe { self.more.as_ref() }) else {
            return self.len;
        };
        let retired = more.retired.iter().filter(|it| it.was_in_limbo());
        self.len + more.entries.len() + retired.count()
    }
}

impl<K, V> Drop for Garbage<K, V> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.more.is_null() {
            // SAFETY: once, at the end.
            unsafe { self.drop_entries() };
        } else {
            // SAFETY: as above.
            unsafe { self.drop_all() };
        }
    }
}

/// What is freed when no reader can be in it, and no lock is held.
#[derive(Debug)]
pub(crate) enum Retired {
    /// An annex that has been replaced. Readers may be inside it until the grace period is over.
    Annex(#[expect(dead_code, reason = "it is there to be dropped")] Outgrown),
    Segment(#[expect(dead_code, reason = "it is there to be dropped")] Segment),
}

impl Retired {
    fn was_in_limbo(&self) -> bool {
        matches!(self, Self::Annex(_))
    }
}
