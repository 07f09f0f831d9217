//! One entry: what readers see of it.

use super::index::Fragment;
use super::life::{Deadlines, First};
use super::meta::Meta;
use std::mem::ManuallyDrop;

/// A key and its value. Never changes once it is published; what does is in the slot, and beside it.
#[derive(Debug)]
pub(crate) struct Entry<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
}

/// An entry on its way into a slot. Nothing unwinds while it is: dropping it would drop nothing.
#[derive(Debug)]
pub(crate) struct Coming<K, V, L = First> {
    pub(crate) meta: Meta,
    /// As in [`Deadlines`].
    pub(crate) limit: L,
    key: ManuallyDrop<K>,
    value: ManuallyDrop<V>,
}

impl<K, V, L: Copy> Coming<K, V, L> {
    #[inline(always)]
    pub(crate) fn new(fragment: Fragment, deadlines: Deadlines<L>, key: K, value: V) -> Self {
        Self {
            meta: Meta::new(fragment, deadlines.first),
            limit: deadlines.limit,
            key: ManuallyDrop::new(key),
            value: ManuallyDrop::new(value),
        }
    }

    pub(crate) fn deadlines(&self) -> Deadlines<L> {
        Deadlines {
            first: self.meta.deadline(),
            limit: self.limit,
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
