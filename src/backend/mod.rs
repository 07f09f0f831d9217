//! Backends: one contract over string keys, whatever the store.
//!
//! | file | what is in it |
//! |---|---|
//! | `future` | [`BackendFuture`]: ready, or boxed |
//! | `undecodable`, `event` | why a stored value cannot be read, counted and told |
//! | `representable` | what JSON, and what binary formats can represent |
//! | `value`, `codec` | [`Value`]: typed, encoded or an integer; [`Codec`]: values as bytes, both ways |
//! | `alarm` | deadlines for those who wait, on any executor |
//! | `flights` | [`Flights`]: the loads and updates under way on a backend, and the calls that make them |
//! | `stats` | [`BackendStats`]: what a backend has done |
//! | `redact` | what of a URL may be shown |
//! | `contract` | [`CacheBackend`]: what a store implements |
//! | `update_ttl` | [`UpdateTtl`]: what an update does to the time to live |
//! | `view` | [`View`]: a backend with another codec, or strict |
//! | `typed` | typed reads and writes |
//! | `ext` | [`CacheBackendExt`]: what callers use, each call a line and its documentation |
//! | `redis` | `RedisCacheBackend`, with the feature of that name |
//! | `memory` | [`MemoryCacheBackend`], over [`Cache`](crate::Cache) |
//! | `conformance` | the contract as a test suite |

mod alarm;
mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
mod event;
mod ext;
mod flights;
mod future;
mod memory;
#[cfg(any(feature = "global", feature = "redis"))]
pub(crate) mod redact;
#[cfg(feature = "redis")]
mod redis;
mod representable;
mod stats;
mod typed;
mod undecodable;
mod update_ttl;
mod value;
mod view;

pub use codec::Codec;
#[cfg(feature = "encryption")]
pub use codec::Keys;
pub use contract::CacheBackend;
pub use ext::CacheBackendExt;
pub use flights::Flights;
#[cfg(feature = "global")]
pub(crate) use flights::PATIENCE;
pub use future::BackendFuture;
pub use memory::{MemoryCacheBackend, MemoryCacheBackendBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisCacheBackend, RedisCacheBackendBuilder};
pub use stats::{BackendStats, BreakerState, ErrorCounts, LinkState, Operation, OperationStats};
pub use undecodable::Undecodable;
pub use update_ttl::UpdateTtl;
pub use value::{Cacheable, Value};
pub use view::View;
#[cfg(feature = "tower")]
pub(crate) use view::in_json;
