//! A backend on Redis, with the feature `redis`.

use crate::backend::{
    CacheBackend, RedisCacheBackend, RedisCacheBackendBuilder, TieredCacheBackend,
};
use crate::config::Config;
use crate::error::Error;
use std::sync::Arc;

/// # Errors
/// If the URL has none of the forms that [`RedisCacheBackend`] takes.
pub(in crate::config) fn build_tiered(config: &Config) -> Result<Arc<dyn CacheBackend>, Error> {
    let near = &config.near;
    let mut builder = TieredCacheBackend::builder()
        .redis(builder(config))
        .near_max_keys(near.max_keys)
        .max_staleness(near.max_staleness)
        .coherence(near.coherence);
    if let Some(ttl) = near.ttl {
        builder = builder.near_ttl(ttl);
    }
    Ok(Arc::new(builder.build_named("REDIS_URL")?))
}

/// # Errors
/// If the URL has none of the forms that [`RedisCacheBackend`] takes.
pub(in crate::config) fn build(config: &Config) -> Result<Arc<dyn CacheBackend>, Error> {
    Ok(Arc::new(builder(config).build_named("REDIS_URL")?))
}

fn builder(config: &Config) -> RedisCacheBackendBuilder {
    let mut builder = RedisCacheBackend::builder()
        .url(&*config.redis_url)
        .prefix(&*config.prefix)
        .default_ttl(config.default_ttl)
        .patience(config.patience)
        .max_waiting_loads(config.loads.max_waiting)
        .timeout(config.redis_timeout)
        .load_options(config.load_options.clone())
        .codec(config.codec.clone().unwrap_or_default());
    if let Some(max_loads) = config.loads.max_loads {
        builder = builder.max_loads(max_loads);
    }
    if config.is_strict {
        builder.strict()
    } else {
        builder
    }
}
