//! The concurrent core of nori-cache under the [loom] model checker.
//!
//! `cargo test --release -p nori-cache-loom-tests` runs each model in every interleaving, and with every value that a load
//! may return under the C11 memory model, up to the bound on preemptions that the model names (`LOOM_MAX_PREEMPTIONS`
//! overrides it). `scripts/loom-mutants` breaks the core one line at a time and expects the models to notice.
//!
//! The crate compiles the core's own source files. Two things are put in their place:
//!
//! - [`atomics`] wraps loom's atomics so that freeing one counts as an access to it, and so finds memory that is given back
//!   while a reader may still be in it. [`quarantine`] keeps what was freed readable for long enough to say so.
//! - [`barrier`] stands for `core/reclaim/barrier.rs`, with `membarrier(2)` acted out between loom's threads.
//!
//! What loom does not model: it takes two SeqCst fences to synchronise outright, which C11 does not promise, takes SeqCst
//! accesses for AcqRel, and runs at most four threads besides the one that starts them.
//!
//! [loom]: https://docs.rs/loom
#![cfg(test)]

mod atomics;
mod barrier;
#[path = "../../src/core"]
mod core {
    #![allow(dead_code, unused_imports)]

    pub(crate) mod budget;
    pub(crate) mod entry;
    pub(crate) mod index;
    pub(crate) mod limbo;
    pub(crate) mod links;
    pub(crate) mod list;
    pub(crate) mod prefetch;
    pub(crate) mod reclaim {
        use crate::barrier;
        pub(crate) mod domain;

        pub(crate) use domain::{Domain, Grace, Pin, Ticket};
    }
    pub(crate) mod shard;
    pub(crate) mod slab;
    pub(crate) mod store;
    pub(crate) mod table;
    pub(crate) mod wheel;
}
mod models;
mod quarantine;
#[path = "../../src/sync.rs"]
mod sync;
