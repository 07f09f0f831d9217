//! What a write leaves to be dropped when it holds no lock and no pin.

use super::entry::Entry;
use super::index::Outgrown;
use super::listener::{Departed, Listener, Unwelcome};
use super::slab::Segment;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;

/// Room for as many entries as writes usually leave: one that its own replaces in a slot, and one for each that it finds expired.
const USUAL: usize = 6;

/// Entries, and what else readers may have been in. The caller lends it to a lock, so that an entry is moved only once, from its
/// slot to here, and drops it last: the user's code runs then, and a pin would hold others up meanwhile.
#[derive(Debug)]
pub(crate) struct Garbage<K, V> {
    /// Those from `start` to `end` are initialised. The first place is kept for the one entry that most writes leave.
    entries: [MaybeUninit<Entry<K, V>>; USUAL],
    start: usize,
    end: usize,
    /// Null, or a box.
    more: *mut More<K, V>,
}

/// What few writes leave.
#[derive(Debug)]
struct More<K, V> {
    entries: Vec<Entry<K, V>>,
    retired: Vec<Retired>,
    /// Of which a listener is to be told.
    departed: Vec<Departed<K, V>>,
    refused: Vec<Unwelcome<K, V>>,
}

impl<K, V> Garbage<K, V> {
    #[inline(always)]
    pub(crate) fn none() -> Self {
        Self {
            entries: [const { MaybeUninit::uninit() }; USUAL],
            start: 1,
            end: 1,
            more: ptr::null_mut(),
        }
    }

    /// Moves the entry here whose slot the write's own gets: one at most between two calls of [`Garbage::move_up`].
    ///
    /// # Safety
    /// `entry` is initialised, and nobody uses it any more.
    #[inline(always)]
    pub(crate) unsafe fn take_first(&mut self, entry: *const Entry<K, V>) {
        debug_assert_eq!(self.start, 1);
        // SAFETY: initialised, by the contract, and a place of ours is nowhere else. The entry is ours from here on.
        unsafe { (self.entries[0].as_mut_ptr()).copy_from_nonoverlapping(entry, 1) };
        self.start = 0;
    }

    /// Moves another entry here.
    ///
    /// # Safety
    /// As of [`Garbage::take_first`].
    #[cold]
    pub(crate) unsafe fn take(&mut self, entry: *const Entry<K, V>) {
        // SAFETY: by the contract.
        let entry = unsafe { entry.read() };
        if let Some(place) = self.entries.get_mut(self.end) {
            place.write(entry);
            self.end += 1;
        } else {
            self.more().entries.push(entry);
        }
    }

    /// Adds an entry that was refused, and never was in a slot. The listener is told, if there is one.
    #[cold]
    pub(crate) fn add_refused(
        &mut self,
        entry: Entry<K, V>,
        listener: Option<&Arc<Listener<K, V>>>,
    ) {
        match listener {
            Some(listener) => {
                let listener = Arc::clone(listener);
                self.more().refused.push(Unwelcome { listener, entry });
            }
            None => self.more().entries.push(entry),
        }
    }

    /// Adds what the listener is to be told of.
    pub(crate) fn add_departed(&mut self, departed: Departed<K, V>) {
        self.more().departed.push(departed);
    }

    /// Makes the first place free, for a write that tries again.
    pub(crate) fn move_up(&mut self) {
        if self.start == 0 {
            self.start = 1;
            // SAFETY: initialised, and counted no more.
            unsafe { self.take(self.entries[0].as_ptr()) };
        }
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
                departed: Vec::new(),
                refused: Vec::new(),
            }));
        }
        // SAFETY: made above, here or in an earlier call, and borrowed with `self`.
        unsafe { &mut *self.more }
    }

    /// Drops everything.
    #[cold]
    #[inline(never)]
    fn drop_slow(&mut self) {
        // SAFETY: null, or made by `Box::into_raw`, and dropped here alone: at the end of this function, however that is reached.
        let mut more = (!self.more.is_null()).then(|| unsafe { Box::from_raw(self.more) });
        if let Some(more) = &mut more {
            more.departed.drain(..).for_each(Departed::tell);
            more.refused.iter().for_each(Unwelcome::tell);
        }
        let entries = &mut self.entries[self.start..self.end];
        // SAFETY: initialised, and dropped here alone. If the drop of one panics, the others are dropped all the same.
        unsafe { (ptr::from_mut(entries) as *mut [Entry<K, V>]).drop_in_place() };
    }

    /// How many entries and annexes.
    pub(crate) fn len(&self) -> usize {
        // SAFETY: null, or made in `more`.
        let Some(more) = (unsafe { self.more.as_ref() }) else {
            return self.end - self.start;
        };
        let retired = more.retired.iter().filter(|it| it.was_in_limbo());
        self.end - self.start + more.entries.len() + retired.count()
    }
}

impl<K, V> Drop for Garbage<K, V> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.end != 1 || !self.more.is_null() {
            self.drop_slow();
        } else if self.start == 0 {
            // SAFETY: initialised, and dropped here alone.
            unsafe { self.entries[0].assume_init_drop() };
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
