//! Hits in the near tier of two, with the feature `redis`.

#[cfg(not(feature = "redis"))]
mod disabled;
#[cfg(feature = "redis")]
mod enabled;
#[cfg(feature = "redis")]
mod server;

#[cfg(not(feature = "redis"))]
pub use disabled::{NEAR_GET, NEAR_TAGGED_GET};
#[cfg(feature = "redis")]
pub use enabled::{NEAR_GET, NEAR_TAGGED_GET};
