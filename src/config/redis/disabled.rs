//! No backend on Redis, without the feature `redis`.

use crate::backend::CacheBackend;
use crate::config::Config;
use crate::error::Error;
use std::sync::Arc;

/// # Errors
/// Always: says which feature is missing.
pub(in crate::config) fn build(_: &Config) -> Result<Arc<dyn CacheBackend>, Error> {
    Err(missing("redis"))
}

/// # Errors
/// Always: says which feature is missing.
pub(in crate::config) fn build_tiered(_: &Config) -> Result<Arc<dyn CacheBackend>, Error> {
    Err(missing("tiered"))
}

fn missing(kind: &str) -> Error {
    let given = format!("{kind:?}, which this program was built without");
    let allowed = "memory, or nori-cache be built with its feature `redis`";
    Error::invalid_config("CACHE_BACKEND", given, allowed)
}
