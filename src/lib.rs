#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc = include_str!("links.md")]
#![doc = include_str!("../README.md")]
//! # The rooms
//!
//! A folder is a layer; a file uses only what stands above it here.
//!
//! | room | what is in it |
//! |---|---|
//! | `sync` | the only file that names the standard library's (or loom's) atomics, cells and locks |
//! | `arch` | what processors and systems have beyond the standard library: cycle counter, `membarrier`, prefetching |
//! | `error` | one opaque [`Error`] |
//! | `time` | [`Clock`], [`ManualClock`], [`Ttl`] |
//! | `flights` | what loads and updates share: queues of those who wait, and the graph that finds circles |
//! | `histogram` | how long things took |
//! | `core` | everything concurrent, and, with `arch`, all `unsafe`: reclamation, slots, index, list, wheel, budget, shards |
//! | `cache` | [`Cache`], the safe front |
//! | `backend` | [`CacheBackend`], the contract of stores over string keys |
//! | `config` | [`Config`]: from the environment to a backend |
//! | `global` | [`get_backend`], [`cache_get`] and so on: the backend of the process |
//! | `memo` | what functions under `#[cached]` call |
//! | `response` | HTTP responses, cached by a tower layer |
//! | `metrics` | what all of them count, for the `metrics` facade |
//!
//! [`docs::design`] tells how it works, [`docs::orderings`] why it may.

mod arch;
#[cfg(all(feature = "backend", not(nori_loom)))]
mod backend;
#[cfg(not(nori_loom))]
mod cache;
#[cfg(all(feature = "global", not(nori_loom)))]
mod config;
mod core;
#[cfg(not(nori_loom))]
mod error;
#[cfg(not(nori_loom))]
mod flights;
#[cfg(all(feature = "global", not(nori_loom)))]
mod global;
#[cfg(not(nori_loom))]
mod histogram;
#[cfg(all(feature = "macros", not(nori_loom)))]
mod memo;
#[cfg(all(feature = "metrics", not(nori_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub mod metrics;
#[cfg(all(feature = "tower", not(nori_loom)))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "response", feature = "tower"))))]
pub mod response;
mod sync;
#[cfg(not(nori_loom))]
mod time;

#[cfg(not(nori_loom))]
pub use crate::{
    cache::{
        Cache, CacheBuilder, Drain, Expiry, Inserted, Iter, LoadStats, Loaded, Refusal, Stats,
        Update,
    },
    core::{Policy, RemovalCause},
    error::Error,
    histogram::Histogram,
    time::{Clock, ManualClock, Ttl},
};

#[cfg(all(feature = "backend", not(nori_loom)))]
pub use crate::backend::{
    Answer, BackendFuture, BackendStats, BreakerState, CacheBackend, CacheBackendExt, Cacheable,
    Codec, ErrorCounts, Flights, LinkState, Load, LoadContext, LoadCounts, LoadOptions,
    MemoryCacheBackend, MemoryCacheBackendBuilder, Operation, OperationStats, Outcome, TagChanges,
    Undecodable, UpdateTtl, Value, View,
};

/// What a [`Load`] has of its backend: types that are rarely written out.
#[cfg(all(feature = "backend", not(nori_loom)))]
pub mod handle {
    pub use crate::backend::{Handle, Own, Scoped, Shared, SharedHandle};
}

/// For stores that processes share: leases, with which one of them loads for all.
#[cfg(all(feature = "backend", not(nori_loom)))]
pub mod lease {
    pub use crate::backend::{Lease, Leased, Leases, Taken};
}

#[cfg(all(feature = "encryption", not(nori_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "encryption")))]
pub use crate::backend::Keys;

#[cfg(all(feature = "redis", not(nori_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use crate::backend::{
    RedisCacheBackend, RedisCacheBackendBuilder, TierStats, TieredCacheBackend,
    TieredCacheBackendBuilder,
};

#[cfg(all(any(feature = "global", feature = "redis"), not(nori_loom)))]
pub use crate::backend::Coherence;

#[cfg(all(feature = "conformance", not(nori_loom)))]
pub use crate::backend::conformance;

#[cfg(all(feature = "global", not(nori_loom)))]
pub use crate::{
    config::{BackendKind, Config},
    global::{
        cache_atomic_update, cache_delete, cache_delete_many, cache_flush, cache_get,
        cache_get_many, cache_get_or_load, cache_get_or_load_many, cache_get_shared, cache_incr,
        cache_incr_by, cache_load, cache_remove_by_tag, cache_set, cache_set_default,
        cache_set_many, cache_set_ref, cache_set_tagged, cache_try_atomic_update, cache_ttl,
        get_backend, reset_backend, set_backend,
    },
};

#[cfg(all(feature = "macros", not(nori_loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "macros")))]
#[doc(inline)]
pub use nori_cache_macros::cached;

/// For what `#[cached]` writes, and nobody else.
#[cfg(all(feature = "macros", not(nori_loom)))]
#[doc(hidden)]
pub mod __macros {
    pub use crate::memo::*;
}

#[cfg(all(any(doc, test), not(nori_loom)))]
pub mod docs;
