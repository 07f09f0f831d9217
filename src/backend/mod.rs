//! Backends: one contract over string keys, whatever the store.
//!
//! | file | what is in it |
//! |---|---|
//! | `future` | [`BackendFuture`]: ready, or boxed |
//! | `undecodable`, `event` | why a stored value cannot be read, counted and told |
//! | `representable` | what JSON, and what binary formats can represent |
//! | `value`, `codec` | [`Value`]: typed, encoded or an integer; [`Codec`]: values as bytes, both ways |
//! | `alarm` | deadlines for those who wait, on any executor |
//! | `flights` | [`Flights`]: the loads and updates under way on a backend, and the call that updates |
//! | `tag`, `tag_changes` | what entries are removed by, and how a hit need not look whether they were |
//! | `kept`, `wall` | what is kept beside a value, and the clock that tells how old it is |
//! | `stats` | [`BackendStats`]: what a backend has done |
//! | `redact` | what of a URL may be shown |
//! | `contract` | [`CacheBackend`]: what a store implements |
//! | `update_ttl` | [`UpdateTtl`]: what an update does to the time to live |
//! | `view` | [`View`]: a backend with another codec, or strict |
//! | `coherence` | copies of what a store elsewhere has: how one learns of writes, and when a copy may be shown |
//! | `typed` | typed reads and writes |
//! | `load` | [`Load`]: loads, which survive outages of the source and of the store |
//! | `ext` | [`CacheBackendExt`]: what callers use, each call a line and its documentation |
//! | `redis` | `RedisCacheBackend`, with the feature of that name |
//! | `memory` | [`MemoryCacheBackend`], over [`Cache`](crate::Cache) |
//! | `tiered` | `TieredCacheBackend`, with the feature `redis`: a tier in memory before one on Redis |
//! | `conformance` | the contract as a test suite |

mod alarm;
mod codec;
#[cfg(any(feature = "global", feature = "redis"))]
mod coherence;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
mod event;
mod ext;
mod flights;
mod future;
mod kept;
mod lease;
mod load;
mod memory;
#[cfg(any(feature = "global", feature = "redis"))]
pub(crate) mod redact;
#[cfg(feature = "redis")]
mod redis;
mod refreshing;
mod representable;
mod stats;
pub(crate) mod tag;
mod tag_changes;
#[cfg(feature = "redis")]
mod tiered;
mod typed;
mod undecodable;
mod update_ttl;
mod value;
mod view;
mod wall;

pub use codec::Codec;
#[cfg(feature = "encryption")]
pub use codec::Keys;
#[cfg(any(feature = "global", feature = "redis"))]
pub use coherence::Coherence;
pub use contract::CacheBackend;
pub use ext::CacheBackendExt;
pub use flights::{Flights, LoadCounts};
#[cfg(feature = "global")]
pub(crate) use flights::{LoadLimits, PATIENCE};
pub use future::BackendFuture;
pub use lease::{Lease, Leased, Leases, Taken};
#[cfg(feature = "macros")]
pub(crate) use load::get_or_load;
pub use load::{
    Answer, Handle, Load, LoadContext, LoadOptions, Outcome, Own, Scoped, Shared, SharedHandle,
};
#[cfg(any(feature = "global", feature = "redis"))]
pub(crate) use memory::MAX_BYTES;
pub use memory::{MemoryCacheBackend, MemoryCacheBackendBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisCacheBackend, RedisCacheBackendBuilder};
pub use stats::{BackendStats, BreakerState, ErrorCounts, LinkState, Operation, OperationStats};
pub use tag_changes::TagChanges;
#[cfg(feature = "redis")]
pub use tiered::{TierStats, TieredCacheBackend, TieredCacheBackendBuilder};
pub use undecodable::Undecodable;
pub use update_ttl::UpdateTtl;
pub use value::{Cacheable, Value};
pub use view::View;
#[cfg(feature = "tower")]
pub(crate) use view::for_responses;
