//! The typed cache.

mod budget;
mod builder;
mod collisions;
mod expiry;
mod layouts;
mod lru;
mod reads;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod visibility;
mod writes;
