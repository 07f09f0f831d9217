//! The typed cache.

mod budget;
mod builder;
mod clocks;
mod collisions;
mod expirations;
mod expiry;
mod expiry_rounding;
mod layouts;
mod lifetimes;
mod lru;
mod reads;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod turns;
mod updates;
mod visibility;
mod writes;
