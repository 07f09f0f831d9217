//! Counters.

use crate::sync::{AtomicU64, CachePadded, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a layer has done so far: [`CacheResponse::stats`](super::CacheResponse::stats).
        ///
        /// ```
        /// use nori_cache::response::CacheResponse;
        /// use std::time::Duration;
        ///
        /// let layer = CacheResponse::ttl(Duration::from_secs(60));
        /// assert_eq!(layer.stats().hits, 0);
        /// ```
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ResponseStats {
            $($(#[$doc])* pub $name: u64,)*
            /// Not a count: the handlers that the cache has started and that run, or whose responses are being stored, just
            /// now.
            pub running: u64,
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self, running: u64) -> ResponseStats {
                ResponseStats { $($name: self.$name.get(),)* running }
            }
        }
    };
}

counters! {
    /// Answered from a fresh entry.
    hits,
    /// Answered by the handler, for want of an entry.
    misses,
    /// Answered with what another request's handler made.
    collapsed,
    /// Answered from a stale entry: while it was revalidated, or because the handler failed.
    stale,
    /// The handler said that the entry is still good.
    revalidated,
    /// Stored.
    stored,
    /// Not stored, because the response forbids it.
    refused,
    /// Passed through unlooked at: the bypass hook, requests without a key, preconditions.
    bypassed,
    /// Calls of the backend that failed. Requests do not.
    backend_errors,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(CachePadded<AtomicU64>);

impl Counter {
    #[inline]
    pub(crate) fn add(&self) {
        // Relaxed: a count orders nothing.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        // Relaxed: as above.
        self.0.load(Ordering::Relaxed)
    }
}
