//! nori-cache
#![cfg_attr(nori_loom, allow(dead_code))]

#[cfg(not(nori_loom))]
mod cache;
mod core;
#[cfg(not(nori_loom))]
mod error;
mod sync;
#[cfg(not(nori_loom))]
mod time;

#[cfg(not(nori_loom))]
pub use crate::{
    cache::{Cache, CacheBuilder, Iter, Stats, Update},
    error::Error,
    time::{Clock, ManualClock, Ttl},
};
