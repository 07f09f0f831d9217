//! One slot, vacant or with an entry.

use super::LINE;
use crate::core::entry::{Coming, Entry};
use crate::core::index::Fragment;
use crate::core::life::MetaWord;
use crate::core::list::Member;
use crate::core::meta::{Meta, NEVER};
use crate::core::wheel::Timer;
use crate::sync::{AtomicU64, UnsafeCell};
use std::mem::MaybeUninit;

/// Room for one entry, and its place in the shard's list and wheel.
#[derive(Debug)]
pub(crate) struct Slot<K, V> {
    pub(crate) member: Member,
    pub(crate) timer: Timer,
    /// Of the entry, or of the last one that was here.
    meta: AtomicU64,
    entry: UnsafeCell<MaybeUninit<Entry<K, V>>>,
}

impl<K, V> Slot<K, V> {
    /// Bytes from one slot of a segment to the next: rounded up to whole cache lines where that costs an eighth at most, as a
    /// slot across two lines costs two misses.
    pub(super) const STRIDE: usize = {
        let (size, lines) = (size_of::<Self>(), size_of::<Self>().next_multiple_of(LINE));
        if lines - size <= lines / 8 {
            lines
        } else {
            size
        }
    };

    pub(super) fn vacant() -> Self {
        Self {
            member: Member::new(),
            timer: Timer::new(),
            meta: AtomicU64::new(Meta::new(Fragment::new(0), NEVER).word()),
            entry: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// The word with the first deadline, and the fragment, of the entry, or of the last one that was here.
    #[inline(always)]
    pub(crate) fn word(&self) -> MetaWord<'_> {
        MetaWord::new(&self.meta)
    }

    /// What a hold names it by.
    #[inline(always)]
    pub(crate) fn address(&self) -> *mut () {
        (&raw const *self).cast_mut().cast()
    }

    /// Starts to bring the slot into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self) {
        crate::arch::prefetch::read(&raw const *self);
    }

    /// Starts to bring into the cache what dropping the entry will need, for which the slot should be there already.
    #[inline(always)]
    pub(crate) fn prefetch_drop(&self) {
        // SAFETY: inside the slot, vacant or not.
        self.entry.with(|entry| unsafe {
            let entry = entry.cast::<Entry<K, V>>();
            crate::arch::prefetch::drop(&raw const (*entry).key);
            crate::arch::prefetch::drop(&raw const (*entry).value);
        });
    }

    /// The entry.
    ///
    /// # Safety
    /// The slot holds an entry, and goes on holding it for as long as the reference is used: the caller is pinned and found
    /// the id in the index after that, or holds the shard's lock while the entry is live or in limbo.
    #[inline(always)]
    pub(crate) unsafe fn entry(&self) -> &Entry<K, V> {
        // SAFETY: initialised and not written, by the contract.
        self.entry
            .with(|entry| unsafe { (*entry).assume_init_ref() })
    }

    /// Moves an entry into a vacant slot.
    ///
    /// # Safety
    /// The slot is vacant and the caller holds the shard's lock. The entry is used no more.
    #[inline(always)]
    pub(crate) unsafe fn fill<L: Copy>(&self, entry: &Coming<K, V, L>) {
        self.word().set(entry.meta);
        // SAFETY: nobody looks into a vacant slot, so this access is the only one.
        self.entry.with_mut(|slot| unsafe {
            entry.write_to((*slot).as_mut_ptr());
        });
    }

    /// Has the entry taken out of the slot, which is vacant from here on.
    ///
    /// # Safety
    /// The slot holds an entry that no reader can see any more (its grace period has passed), the caller holds the shard's lock,
    /// and `take` moves the entry.
    #[inline(always)]
    pub(crate) unsafe fn empty(&self, take: impl FnOnce(*const Entry<K, V>)) {
        // This access is the only one, by the contract.
        self.entry.with_mut(|slot| {
            // SAFETY: initialised, by the contract.
            take(unsafe { (*slot).as_ptr() });
        });
    }

    /// Moves the entry out, when the shard goes.
    ///
    /// # Safety
    /// The slot holds an entry, and nobody else uses the shard any more.
    pub(crate) unsafe fn take(&self) -> Entry<K, V> {
        // SAFETY: by the contract.
        self.entry
            .with_mut(|slot| unsafe { (*slot).assume_init_read() })
    }
}
