//! One adapter per rival.

#[cfg(feature = "rivals")]
mod all;
#[cfg(feature = "rivals")]
mod dashmap;
#[cfg(feature = "rivals")]
mod foyer;
mod hashbrown;
#[cfg(feature = "rivals")]
mod lru_mutexes;
#[cfg(feature = "rivals")]
mod mini_moka;
#[cfg(feature = "rivals")]
mod moka;
mod nori_cache;
#[cfg(feature = "rivals")]
mod papaya;
#[cfg(feature = "rivals")]
mod quick_cache;
#[cfg(feature = "rivals")]
mod scc;
#[cfg(feature = "rivals")]
mod sieve_cache;
#[cfg(feature = "rivals")]
mod stretto;
#[cfg(feature = "rivals")]
mod tinyufo;

pub use self::{hashbrown::Hashbrown, nori_cache::NoriCache, nori_cache::WEIGHT};

#[cfg(feature = "rivals")]
pub use self::{
    all::{Visitor, for_each, names},
    dashmap::DashMap,
    foyer::{Foyer, Lru, Policy, S3Fifo},
    lru_mutexes::LruMutexes,
    mini_moka::MiniMoka,
    moka::Moka,
    papaya::Papaya,
    quick_cache::QuickCache,
    scc::SccHashCache,
    sieve_cache::ShardedSieve,
    stretto::Stretto,
    tinyufo::TinyUfo,
};

/// The name of the cache this package belongs to; ratios are taken against it.
pub const OURS: &str = "nori-cache";

/// Ours without a time to live.
pub const OURS_NO_TTL: &str = "nori-cache-no-ttl";
/// The same with a ticking clock.
pub const OURS_TICKING: &str = "nori-cache-ticking";
/// Ours with the adaptive policy.
pub const OURS_ADAPTIVE: &str = "nori-cache-adaptive";
/// Ours with a weigher, as full by weight as by keys.
pub const OURS_WEIGHED: &str = "nori-cache-weighed";
/// The same, with more weight than its keys need.
pub const OURS_WEIGHED_LOOSELY: &str = "nori-cache-weighed-loosely";

/// The name of the unsynchronised floor.
pub const FLOOR: &str = "hashbrown";
