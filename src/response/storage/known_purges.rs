//! [`KnownPurges`]: what a layer knows of purges by key and by prefix without the store. Where the store evicts what they left, they
//! hold all the same.

use super::purge_bucket::BUCKETS;
use crate::response::entry::purge_number::PurgeNumber;
use crate::sync::{AtomicU64, OnceLock, Ordering, fence};

#[derive(Default)]
pub(crate) struct KnownPurges {
    /// The latest purge by prefix that was in the store.
    last: AtomicU64,
    /// How many purges by key there were in this layer, for each bucket of keys; nothing before the first one.
    counts: OnceLock<Box<[AtomicU64]>>,
}

impl KnownPurges {
    /// The latest purge that was in the list. Who looks into the store after this finds it there, unless it was lost.
    pub(crate) fn last(&self) -> PurgeNumber {
        // Acquire: pairs with the Release in `saw`; the purge is in the store.
        PurgeNumber::new(self.last.load(Ordering::Acquire))
    }

    /// Whether a list that ends with this purge lacks a later one. It may also be that the later purge came after the list was read:
    /// [`last`](Self::last) is for those who have to tell.
    #[inline]
    pub(crate) fn goes_beyond(&self, last: PurgeNumber) -> bool {
        // Relaxed: who comes after a purge has returned finds its number here. For others it does not matter, because who finds
        // something missing looks again.
        last.get() < self.last.load(Ordering::Relaxed)
    }

    /// Remembers that a list which ends with this purge is or was in the store.
    pub(crate) fn saw(&self, last: PurgeNumber) {
        // Relaxed: who wrote the number that this reads has done the ordering.
        if self.last.load(Ordering::Relaxed) < last.get() {
            // Release: pairs with the Acquire in `last`.
            self.last.fetch_max(last.get(), Ordering::Release);
        }
    }

    /// How many purges there were of keys in a bucket.
    pub(crate) fn count(&self, bucket: usize) -> u64 {
        let counts = self.counts.get();
        let count = counts.and_then(|counts| counts.get(bucket));
        // Acquire: pairs with the Release in `add`; a handler that is started after this sees what the purge was made for.
        count.map_or(0, |count| count.load(Ordering::Acquire))
    }

    /// As [`count`](Self::count), for who has written to the store.
    pub(crate) fn count_after_write(&self, bucket: usize) -> u64 {
        // SeqCst: pairs with the fence in `add`. A writer looks here after its write, and a purge looks into the store after its
        // count: the later of the two sees what the other one did before.
        fence(Ordering::SeqCst);
        self.count(bucket)
    }

    /// Counts a purge of a key in this bucket. The purge has not touched the store yet.
    pub(crate) fn add(&self, bucket: usize) {
        let none = || (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        let counts = self.counts.get_or_init(none);
        if let Some(count) = counts.get(bucket) {
            // Release: pairs with the Acquire in `count`.
            count.fetch_add(1, Ordering::Release);
        }
        // SeqCst: pairs with the fence in `count_after_write`.
        fence(Ordering::SeqCst);
    }
}
