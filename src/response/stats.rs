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
            /// Not a count: what goes on just now though nobody waits for it, at most
            /// [`max_detached`](super::CacheResponse::max_detached).
            pub detached: u64,
            /// Not a count: the bytes of bodies that are collected, or wait for their readers, just now, at most
            /// [`max_buffered`](super::CacheResponse::max_buffered).
            pub buffered: u64,
        }

        /// How things stand.
        pub(crate) struct Gauges {
            pub(crate) running: u64,
            pub(crate) detached: u64,
            pub(crate) buffered: u64,
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
        }

        impl Counters {
            pub(crate) fn read(&self, gauges: Gauges) -> ResponseStats {
                let Gauges { running, detached, buffered } = gauges;
                ResponseStats { $($name: self.$name.get(),)* running, detached, buffered }
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
    /// Not stored, because too many bytes waited for their readers.
    unbuffered,
    /// Ended with its client, because too much went on already that nobody waited for.
    undetached,
    /// Ended because nobody had waited for it for too long.
    detached_timeouts,
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
