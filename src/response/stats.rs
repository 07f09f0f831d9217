//! [`ResponseStats`]: what a layer has counted.

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
            /// Not a count: the handlers that the cache has started and that are running, or whose responses are being stored,
            /// right now.
            pub running: u64,
            /// Not a count: what goes on right now without a client, at most
            /// [`max_detached`](super::CacheResponse::max_detached).
            pub detached: u64,
            /// Not a count: the bytes of bodies that are being collected, or wait for their readers, right now, at most
            /// [`max_buffered`](super::CacheResponse::max_buffered).
            pub buffered: u64,
        }

        impl ResponseStats {
            /// What was counted since `previous` was taken, of the same layer. What is no count is as it is now.
            #[must_use]
            pub fn since(&self, previous: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(previous.$name),)* ..*self }
            }
        }

        /// How things stand right now.
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

            /// The names of those that are not 0.
            #[cfg(test)]
            pub(crate) fn counts(&self) -> Vec<&'static str> {
                let all = [$((stringify!($name), self.$name.get())),*];
                all.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name).collect()
            }
        }
    };
}

counters! {
    /// Answered from a fresh stored response.
    hits,
    /// Answered by the handler, because nothing was stored that could be served.
    misses,
    /// Answered with what another request's handler made.
    collapsed,
    /// Answered from a stale stored response: while it was revalidated, because the client accepts it, or because the handler failed.
    stale,
    /// The handler said that the stored response is still good.
    revalidated,
    /// Stored.
    stored,
    /// Not stored, because the response forbids it.
    refused,
    /// Not stored, because too many bytes waited for their readers already.
    unbuffered,
    /// Ended with its client, because too much went on without a client already.
    undetached,
    /// Ended because its client had been gone for too long.
    detached_timeouts,
    /// Passed through as without the cache: by the bypass hook, because of a precondition, or because the request has no key.
    bypassed,
    /// Calls of the backend that failed. The requests did not.
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
