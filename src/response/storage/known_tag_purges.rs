//! [`KnownTagPurges`]: what a layer knows of purges by tag without the store. Where the store evicts what they left, they hold all
//! the same.

use super::purge_bucket::BUCKETS;
use crate::response::entry::purge_count::PurgeCount;
use crate::sync::{AtomicU64, OnceLock, Ordering, fence};

#[derive(Default)]
pub(crate) struct KnownTagPurges {
    /// The greatest count that was in the store; 0 for none.
    count: AtomicU64,
    /// How many purges this layer has made. That is the number of the last one.
    made: AtomicU64,
    /// The number of the last purge of a tag in each bucket of tags; nothing before the first one.
    last: OnceLock<Box<[AtomicU64]>>,
}

impl KnownTagPurges {
    /// The greatest count that was in the store. Who looks into the store after this finds one that is no less, unless it was lost.
    pub(crate) fn count(&self) -> Option<PurgeCount> {
        // Acquire: pairs with the Release in `saw`; the count is in the store.
        let count = self.count.load(Ordering::Acquire);
        (count != 0).then_some(PurgeCount::new(count))
    }

    /// Whether a greater count than this one was in the store. It may have got there after this one was read.
    #[inline]
    pub(crate) fn goes_beyond(&self, count: PurgeCount) -> bool {
        // Relaxed: who comes after a purge has returned finds its count here. For others it does not matter, because who finds
        // something missing looks again.
        count.get() < self.count.load(Ordering::Relaxed)
    }

    /// Remembers a count that is or was in the store.
    pub(crate) fn saw(&self, count: PurgeCount) {
        // Relaxed: who wrote the count that this reads has done the ordering.
        if self.count.load(Ordering::Relaxed) < count.get() {
            // Release: pairs with the Acquire in `count`.
            self.count.fetch_max(count.get(), Ordering::Release);
        }
    }

    /// How many purges this layer has made so far.
    pub(crate) fn made(&self) -> u64 {
        // Acquire: pairs with the Release in `add`; a handler that is started after this sees what the purge was made for.
        self.made.load(Ordering::Acquire)
    }

    /// Whether a tag in this bucket was purged after so many purges, for who has looked into the store.
    pub(crate) fn is_purged_since(&self, made: u64, bucket: usize) -> bool {
        // SeqCst: pairs with the fence in `add`. A writer looks here after it has found, or made, the version of a tag, and a purge
        // goes to the store after it is noted here: the later of the two sees what the other one did before.
        fence(Ordering::SeqCst);
        let last = self.last.get().and_then(|last| last.get(bucket));
        // Acquire: pairs with the Release in `add`.
        last.is_some_and(|last| last.load(Ordering::Acquire) > made)
    }

    /// Notes a purge of a tag in this bucket. The purge has not touched the store yet.
    pub(crate) fn add(&self, bucket: usize) {
        let none = || (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        let last = self.last.get_or_init(none);
        // Release: pairs with the Acquire in `made`.
        let number = self.made.fetch_add(1, Ordering::Release) + 1;
        if let Some(last) = last.get(bucket) {
            // Release: pairs with the Acquire in `is_purged_since`.
            last.fetch_max(number, Ordering::Release);
        }
        // SeqCst: pairs with the fence in `is_purged_since`.
        fence(Ordering::SeqCst);
    }
}
