//! One entry: what readers see of it.

use super::index::Fragment;
use crate::sync::{AtomicU64, Ordering};
use std::mem::ManuallyDrop;

/// A key and its value. Never changes once it is published; what does is in the slot, in a [`MetaWord`].
#[derive(Debug)]
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
}

/// An entry on its way into a slot. Nothing unwinds while it is: dropping it would drop nothing.
#[derive(Debug)]
pub(crate) struct Coming<K, V> {
    pub(crate) meta: Meta,
    key: ManuallyDrop<K>,
    value: ManuallyDrop<V>,
}

impl<K, V> Coming<K, V> {
    #[inline(always)]
    pub(crate) fn new(meta: Meta, key: K, value: V) -> Self {
        Self {
            meta,
            key: ManuallyDrop::new(key),
            value: ManuallyDrop::new(value),
        }
    }

    /// Moves the entry.
    ///
    /// # Safety
    /// `to` can be written, and the entry is used no more.
    #[inline(always)]
    pub(crate) unsafe fn write_to(&self, to: *mut Entry<K, V>) {
        // SAFETY: by the contract.
        unsafe {
            (&raw mut (*to).key).copy_from_nonoverlapping(&raw const *self.key, 1);
            (&raw mut (*to).value).copy_from_nonoverlapping(&raw const *self.value, 1);
        }
    }

    /// The entry, which does not go there after all.
    #[inline(always)]
    pub(crate) fn into_entry(self) -> Entry<K, V> {
        Entry {
            key: ManuallyDrop::into_inner(self.key),
            value: ManuallyDrop::into_inner(self.value),
        }
    }
}

/// Deadline and hash fragment in one word: `deadline << 26 | fragment`.
///
/// The fragment is kept so that an index can be rebuilt, and an entry found in it, without calling a user's `Hash` or `Eq`
/// under the shard's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta(u64);

/// The deadline of an entry that never expires, and the end of the clock's range: 2^38 - 1 ms, 8.7 years.
pub(crate) const NEVER: u64 = (1 << (64 - Fragment::BITS)) - 1;
/// In the place of a deadline that has come, and was seen to. Before all times that clocks read.
pub(crate) const EXPIRED: u64 = 0;

impl Meta {
    /// `deadline` in milliseconds of the cache's clock; at or beyond [`NEVER`] it means never.
    #[inline(always)]
    pub(crate) fn new(fragment: Fragment, deadline: u64) -> Self {
        Self(deadline.min(NEVER) << Fragment::BITS | u64::from(fragment.get()))
    }

    /// The whole word: those of later deadlines are greater.
    #[inline(always)]
    pub(crate) fn word(self) -> u64 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn fragment(self) -> Fragment {
        Fragment::new(self.0)
    }

    #[inline(always)]
    pub(crate) fn deadline(self) -> u64 {
        self.0 >> Fragment::BITS
    }

    /// The same entry with another deadline.
    #[inline(always)]
    pub(crate) fn with_deadline(self, deadline: u64) -> Self {
        Self::new(self.fragment(), deadline)
    }
}

/// The meta of a slot's entry, of which the deadline may move.
///
/// # Once expired, always expired
///
/// The deadline moves by exchanges alone, of which each expects the one that it has seen. Whoever finds that it has passed, and is
/// going to act on that (a reader that says that there is no entry, a writer that takes it out), exchanges it for [`EXPIRED`] first,
/// from where it never moves. So of an expiry and a move at the same time one comes first, and everybody goes by that.
///
/// All accesses are relaxed: everything about it is in this one word, of which all threads see the same order of changes. The entry
/// itself is published with its id.
#[derive(Debug)]
pub(crate) struct MetaWord(AtomicU64);

impl MetaWord {
    pub(crate) fn new(meta: Meta) -> Self {
        Self(AtomicU64::new(meta.0))
    }

    #[inline(always)]
    pub(crate) fn get(&self) -> Meta {
        // Relaxed: see above.
        Meta(self.0.load(Ordering::Relaxed))
    }

    /// Starts anew with the slot's next entry. For the lock's holder, of a vacant slot.
    #[inline(always)]
    pub(crate) fn set(&self, meta: Meta) {
        // Relaxed: nobody looks at it before the entry's id is filed, with Release.
        self.0.store(meta.0, Ordering::Relaxed);
    }

    /// Has the entry expire, whose deadline was seen to have passed. Otherwise says what has become of it since.
    #[cold]
    pub(crate) fn expire(&self, seen: Meta) -> Result<(), Meta> {
        if seen.deadline() == EXPIRED {
            return Ok(());
        }
        self.exchange(seen, seen.with_deadline(EXPIRED))
    }

    /// The deadline, if the entry has not expired at the time `now`; if it has, it has for good.
    #[inline(always)]
    pub(crate) fn deadline_after(&self, now: u64) -> Option<u64> {
        let meta = self.get();
        if meta.deadline() > now {
            return Some(meta.deadline());
        }
        self.deadline_after_slow(meta, now)
    }

    #[cold]
    fn deadline_after_slow(&self, mut meta: Meta, now: u64) -> Option<u64> {
        while meta.deadline() <= now {
            match self.expire(meta) {
                Ok(()) => return None,
                Err(since) => meta = since,
            }
        }
        Some(meta.deadline())
    }

    /// Whether the entry has expired at the time `now`; if so, it has for good.
    #[inline(always)]
    pub(crate) fn has_expired(&self, now: u64) -> bool {
        self.deadline_after(now).is_none()
    }

    /// Exchanges what was seen for something else of the same entry; otherwise says what has become of it.
    pub(crate) fn exchange(&self, seen: Meta, new: Meta) -> Result<(), Meta> {
        // Relaxed, both: see above.
        let exchanged =
            self.0
                .compare_exchange(seen.0, new.0, Ordering::Relaxed, Ordering::Relaxed);
        exchanged.map(|_| ()).map_err(Meta)
    }
}
