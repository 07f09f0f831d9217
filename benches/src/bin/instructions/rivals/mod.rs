//! The rivals that have a path, with the feature of that name.

#[cfg(not(feature = "rivals"))]
mod disabled;
#[cfg(feature = "rivals")]
mod enabled;

#[cfg(not(feature = "rivals"))]
pub use disabled::{EVICT, FILL, HIT, HOT, MISS, UPDATE};
#[cfg(feature = "rivals")]
pub use enabled::{EVICT, FILL, HIT, HOT, MISS, UPDATE};
