//! What a layer knows of purges by itself, beside the store: where the store evicts what they left, they hold all the same.

use crate::response::storage::purge_list::BUCKETS;
use crate::sync::{AtomicU64, OnceLock, Ordering, fence};

#[derive(Default)]
pub(crate) struct Known {
    /// The latest purge by prefix or tag that was in the store.
    last: AtomicU64,
    /// How many purges by key there were here, for each bucket of keys; nothing before the first.
    counts: OnceLock<Box<[AtomicU64]>>,
}

impl Known {
    /// The latest purge that was in the list. Who looks into the store after this finds it there, unless it was lost.
    pub(crate) fn last(&self) -> u64 {
        // Acquire: pairs with the Release in `saw`; the purge is in the store.
        self.last.load(Ordering::Acquire)
    }

    /// Whether a list that ends so lacks a purge. Or the purge came since the list was read: to be sure, see
    /// [`last`](Self::last).
    #[inline]
    pub(crate) fn goes_beyond(&self, last: u64) -> bool {
        // Relaxed: who comes when a purge has returned finds its number here; what is decided for others is decided again.
        last < self.last.load(Ordering::Relaxed)
    }

    /// A list that ends so is in the store, or was.
    pub(crate) fn saw(&self, last: u64) {
        // Relaxed: whoever wrote what this reads has seen to the order.
        if self.last.load(Ordering::Relaxed) < last {
            // Release: pairs with the Acquire in `last`.
            self.last.fetch_max(last, Ordering::Release);
        }
    }

    /// How many purges there were of keys in a bucket.
    pub(crate) fn count(&self, bucket: u64) -> u64 {
        let counts = self.counts.get();
        let count = counts.and_then(|counts| counts.get(usize::try_from(bucket).ok()?));
        // Acquire: pairs with the Release in `add`; a handler that is started after this sees what the purge was made for.
        count.map_or(0, |count| count.load(Ordering::Acquire))
    }

    /// As [`count`](Self::count), for who has written to the store.
    pub(crate) fn count_after_write(&self, bucket: u64) -> u64 {
        // SeqCst: pairs with the fence in `add`. Of a writer that looks here, and a purge that looks into the store, the later
        // one sees what the other did before it.
        fence(Ordering::SeqCst);
        self.count(bucket)
    }

    /// One more purge of a key in this bucket, which has not touched the store yet.
    pub(crate) fn add(&self, bucket: u64) {
        let none = || (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        let counts = self.counts.get_or_init(none);
        if let Some(count) = usize::try_from(bucket).ok().and_then(|at| counts.get(at)) {
            // Release: pairs with the Acquire in `count`.
            count.fetch_add(1, Ordering::Release);
        }
        // SeqCst: pairs with the fence in `count_after_write`.
        fence(Ordering::SeqCst);
    }
}
