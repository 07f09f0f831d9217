//! Who is told what leaves.
//!
//! A write tells when it is over: it holds no lock then and no pin, only the entries that it tells of, each for itself ([`Hold`]). So the
//! listener is called by the thread whose write took the entry out, before that call returns, and may take its time: it
//! keeps nothing else from being dropped.

use super::entry::Entry;
use super::reclaim::Hold;
use super::slab::Slot;
use crate::sync::{AtomicU64, Ordering};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Why an entry has left a cache; see [`CacheBuilder::on_removal`](crate::CacheBuilder::on_removal).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemovalCause {
    /// It had to make room for another one, or the cache was made smaller.
    Evicted,
    /// Its time was over: found by whichever call came across it.
    Expired,
    /// Its key has another value now; or was to have one, which was refused.
    Replaced,
    /// It was removed: by `remove`, `take`, `update`, `retain` or one of their siblings.
    Removed,
    /// The cache was cleared.
    Cleared,
    /// It never came in: it weighs too much, or pinned entries left no room.
    Refused,
}

/// How often dropping what a panic came with may panic before it is left alone.
const PATIENCE: usize = 8;

/// A user's function.
type Tell<K, V> = Box<dyn Fn(&K, &V, RemovalCause) + Send + Sync>;

/// What is to be told, and how often that has panicked.
pub(crate) struct Listener<K, V> {
    tell: Tell<K, V>,
    panics: AtomicU64,
}

impl<K, V> Listener<K, V> {
    pub(crate) fn new(tell: Tell<K, V>) -> Self {
        Self {
            tell,
            panics: AtomicU64::new(0),
        }
    }

    /// Tells of an entry. A panic ends here: others are still to be told of, and the write has been done.
    pub(super) fn tell(&self, entry: &Entry<K, V>, cause: RemovalCause) {
        let tell = AssertUnwindSafe(|| (self.tell)(&entry.key, &entry.value, cause));
        if let Err(payload) = catch_unwind(tell) {
            // Relaxed: a number that stands alone.
            self.panics.fetch_add(1, Ordering::Relaxed);
            drop_payload(payload);
        }
    }

    /// How often it has panicked.
    pub(crate) fn panics(&self) -> u64 {
        // Relaxed: a number that stands alone.
        self.panics.load(Ordering::Relaxed)
    }
}

impl<K, V> fmt::Debug for Listener<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// Drops what a panic came with. That may panic as well, and come with something.
fn drop_payload(payload: Box<dyn Any + Send>) {
    let mut last = payload;
    for _ in 0..PATIENCE {
        let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(last))) else {
            return;
        };
        last = next;
    }
    std::mem::forget(last);
}

/// An entry that never came in, of which the listener is to be told.
#[derive(Debug)]
pub(crate) struct Unwelcome<K, V> {
    pub(super) listener: Arc<Listener<K, V>>,
    pub(super) entry: Entry<K, V>,
}

impl<K, V> Unwelcome<K, V> {
    /// Tells of it.
    pub(super) fn tell(&self) {
        self.listener.tell(&self.entry, RemovalCause::Refused);
    }
}

/// An entry that has left, of which the listener is to be told.
#[derive(Debug)]
pub(crate) struct Departed<K, V> {
    listener: Arc<Listener<K, V>>,
    slot: *const Slot<K, V>,
    cause: RemovalCause,
    /// Names the slot, or is a pin that began before the entry was retired.
    _hold: Hold<'static>,
}

impl<K, V> Departed<K, V> {
    /// Notes an entry that is about to be retired, of a slot in the slab of the shard that lives as long as the result, with a hold as
    /// [`Locked::hold_beyond`](super::shard::Locked::hold_beyond) gives it.
    pub(super) fn new(
        listener: &Arc<Listener<K, V>>,
        slot: &Slot<K, V>,
        cause: RemovalCause,
        hold: Hold<'static>,
    ) -> Self {
        Self {
            listener: Arc::clone(listener),
            slot,
            cause,
            _hold: hold,
        }
    }

    /// Tells of it, once.
    pub(super) fn tell(self) {
        // SAFETY: the slot held the entry when it was noted, under the shard's lock. The entry was retired after that, and the hold
        // began before, so limbo has not let go of it: nor has the slab of the slot's segment.
        let entry = unsafe { (*self.slot).entry() };
        self.listener.tell(entry, self.cause);
    }
}
