//! A backend on Redis from a [`Config`](super::Config), with the feature `redis`.

#[cfg(not(feature = "redis"))]
mod disabled;
#[cfg(feature = "redis")]
mod enabled;

#[cfg(not(feature = "redis"))]
pub(super) use disabled::{build, build_tiered};
#[cfg(feature = "redis")]
pub(super) use enabled::{build, build_tiered};
