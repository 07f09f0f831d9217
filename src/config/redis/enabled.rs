//! A backend on Redis, with the feature `redis`.

use crate::backend::{CacheBackend, RedisCacheBackend};
use crate::config::Config;
use crate::error::Error;
use std::sync::Arc;

/// # Errors
/// If the URL has none of the forms that [`RedisCacheBackend`] takes.
pub(in crate::config) fn build(config: &Config) -> Result<Arc<dyn CacheBackend>, Error> {
    let backend = RedisCacheBackend::builder()
        .url(&*config.redis_url)
        .prefix(&*config.prefix)
        .default_ttl(config.default_ttl)
        .patience(config.patience)
        .timeout(config.redis_timeout)
        .build_named("REDIS_URL")?;
    Ok(Arc::new(backend))
}
