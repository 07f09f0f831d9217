//! A naive model of the cache, and random operations on both.

pub(crate) mod model;
pub(crate) mod ops;
#[cfg(feature = "serde")]
mod snapshots;
pub(crate) mod step;
