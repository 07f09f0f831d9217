//! Backends: one contract over string keys, whatever the store.
//!
//! | file | what is in it |
//! |---|---|
//! | `future` | [`BackendFuture`]: ready, or boxed |
//! | `check`, `codec` | what JSON can say; values as JSON, both ways |
//! | `value` | [`Value`]: typed, encoded or an integer |
//! | `flights` | [`Flights`]: the loads and updates under way on a backend |
//! | `contract` | [`CacheBackend`]: what a store implements |
//! | `update_ttl` | [`UpdateTtl`]: what an update does to the time to live |
//! | `ext` | [`CacheBackendExt`]: what callers use |
//! | `redis` | `RedisCacheBackend`, with the feature of that name |
//! | `memory` | [`MemoryCacheBackend`], over [`Cache`](crate::Cache) |
//! | `conformance` | the contract as a test suite |

mod check;
mod codec;
#[cfg(feature = "conformance")]
pub mod conformance;
mod contract;
mod ext;
mod flights;
mod future;
mod memory;
#[cfg(feature = "redis")]
mod redis;
mod update_ttl;
mod value;

pub use contract::CacheBackend;
pub use ext::{CacheBackendExt, Cacheable};
pub use flights::Flights;
pub use future::BackendFuture;
pub use memory::{MemoryCacheBackend, MemoryCacheBackendBuilder};
#[cfg(feature = "redis")]
pub use redis::{RedisCacheBackend, RedisCacheBackendBuilder};
pub use update_ttl::UpdateTtl;
pub use value::Value;
