//! A real Redis to test on, with the feature `redis`.

#[cfg(not(feature = "redis"))]
mod disabled;
#[cfg(feature = "redis")]
mod enabled;

#[cfg(not(feature = "redis"))]
pub use disabled::*;
#[cfg(feature = "redis")]
pub use enabled::*;
