//! The concurrent core of nori-cache under the [loom] model checker.
//!
//! `scripts/models` (or `cargo test --release -p nori-cache-loom-tests`) runs each model in every interleaving, and with every value that a load
//! may return under the C11 memory model, up to the bound on preemptions that the model names (`LOOM_MAX_PREEMPTIONS`
//! overrides it). `scripts/loom-mutants` breaks the core one line at a time and expects the models to notice.
//!
//! The crate compiles the core's own source files, and of the other layers those in which threads meet: loads, updates and
//! counters of backends, loads of the typed cache, the end of a connection, the response layer's flights. What stands in for the rest:
//!
//! - [`atomics`] wraps loom's atomics so that freeing one counts as an access to it, and so finds memory that is given back
//!   while a reader may still be in it. [`quarantine`] keeps what was freed readable for long enough to say so.
//! - [`fence`] makes a fence a point at which other threads may run.
//! - Deadlines never come: a wait that only one of them would end is a deadlock.
//! - [`table`] stands for dashmap, [`notify`] for tokio's `Notify`, [`once`] for the standard library's `OnceLock`.
//! - [`barrier`] stands for `core/reclaim/barrier.rs`, with `membarrier(2)` acted out between loom's threads.
//!
//! What loom does not model: it takes two SeqCst fences to synchronise outright, which C11 does not promise, takes SeqCst
//! accesses for AcqRel, and runs at most four threads besides the one that starts them.
//!
//! [loom]: https://docs.rs/loom
#![cfg(test)]

#[path = "../../src/arch"]
mod arch {
    #![allow(dead_code)]

    pub(crate) mod prefetch;
}
mod atomics;
#[path = "../../src/backend"]
mod backend {
    // Drops what here is nothing to be dropped.
    #![allow(dead_code, unused_imports, clippy::drop_non_drop)]

    /// In the place of what backends store.
    pub(crate) type Value = u64;

    pub(crate) mod alarm {
        //! Deadlines that never come: nobody may need one.

        use std::future::Future;
        use std::time::{Duration, Instant};

        /// In the place of the real one.
        pub(crate) async fn until<F: Future>(_: Instant, future: F) -> Option<F::Output> {
            Some(future.await)
        }

        pub(crate) fn after(wait: Duration) -> Instant {
            Instant::now() + wait
        }
    }
    pub(crate) mod coherence {
        pub(crate) mod validity;
    }
    pub(crate) mod flights;
    pub(crate) mod memory {
        pub(crate) mod counter;
    }
    pub(crate) mod redis {
        pub(crate) mod gate;
    }
    pub(crate) mod tag_changes {
        pub(crate) mod counted;
    }
    pub(crate) mod undecodable;
}
mod barrier;
#[path = "../../src/cache"]
mod cache {
    #![allow(dead_code)]

    pub(crate) mod load {
        pub(crate) mod flight;
        pub(crate) mod stats;
        pub(crate) mod table;
    }
    pub(crate) use load::stats::Counters as LoadCounters;
}
#[path = "../../src/core"]
mod core {
    #![allow(dead_code, unused_imports)]

    pub(crate) mod budget;
    pub(crate) mod bulk;
    pub(crate) mod entry;
    pub(crate) mod garbage;
    pub(crate) mod index;
    pub(crate) mod life;
    pub(crate) mod limbo;
    pub(crate) mod links;
    pub(crate) mod list;
    pub(crate) mod listener;
    pub(crate) mod meta;
    pub(crate) mod policy;
    pub(crate) mod reclaim {
        use crate::barrier;
        pub(crate) mod domain;
        mod holds;
        mod record;
        mod records;

        pub(crate) use barrier::{fence_everywhere, has_heavy};
        pub(crate) use domain::{Domain, Grace, Ticket, Wait};
        pub(crate) use record::{Hold, Pin, Record};
    }
    pub(crate) mod resize;
    pub(crate) mod shard;
    pub(crate) mod side;
    pub(crate) mod sizing;
    pub(crate) mod slab;
    pub(crate) mod store;
    pub(crate) mod wheel;
    pub(crate) mod write;
}
mod error {
    /// In the place of all that can go wrong.
    #[derive(Debug, Clone)]
    pub(crate) struct Error;

    impl Error {
        pub(crate) fn closed() -> Self {
            Self
        }

        pub(crate) fn timeout(_: String) -> Self {
            Self
        }

        pub(crate) fn overloaded(_: String) -> Self {
            Self
        }

        pub(crate) fn circular(_: &str) -> Self {
            Self
        }

        pub(crate) fn during(self, _: &'static str, _: Option<&str>) -> Self {
            self
        }
    }
}
mod fence;
#[path = "../../src/flights/mod.rs"]
mod flights;
#[allow(dead_code)]
#[path = "../../src/histogram.rs"]
mod histogram;
mod models;
mod notify;
mod once;
mod quarantine;
#[path = "../../src/response"]
mod response {
    #![allow(dead_code)]

    pub(crate) mod answer {
        pub(crate) mod buffers;
    }
    pub(crate) mod clock {
        mod unix_millis;

        pub(crate) use unix_millis::UnixMillis;
    }
    pub(crate) mod entry {
        pub(crate) mod purge_count;
        pub(crate) mod purge_number;
        pub(crate) mod stored_response {
            /// In the place of a stored response: which run of the handler made it.
            #[derive(Debug)]
            pub(crate) struct StoredResponse(pub(crate) u64);
        }
    }
    pub(crate) mod fetch {
        pub(crate) mod flight;
        pub(crate) mod permits;
    }
    pub(crate) mod storage {
        pub(crate) mod known_purges;
        pub(crate) mod known_tag_purges;
        pub(crate) mod purge_bucket {
            pub(crate) const BUCKETS: usize = 2;
        }
        pub(crate) mod purge_marks;
    }
}
#[path = "../../src/sync.rs"]
mod sync;
mod table;
