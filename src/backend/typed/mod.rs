//! Typed calls, as far as they are more than one call of the store: what [`CacheBackendExt`](super::CacheBackendExt) does.

pub(super) mod read;
pub(super) mod tags;
pub(super) mod write;
