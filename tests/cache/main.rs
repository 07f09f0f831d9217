//! The typed cache.

mod budget;
mod builder;
mod clocks;
mod collisions;
mod entry_ops;
mod expirations;
mod expiry;
mod expiry_rounding;
mod expiry_trait;
mod layouts;
mod lifetimes;
mod listener;
mod loads;
mod loads_and_writes;
mod loads_async;
mod loads_hostile;
mod lru;
mod pins;
mod policies;
mod reads;
mod resizing;
#[cfg(feature = "serde")]
mod snapshots;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod turns;
mod twin;
mod updates;
mod visibility;
#[path = "../support/watchdog.rs"]
mod watchdog;
mod weights;
mod writes;
