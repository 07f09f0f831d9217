//! A backend on Redis, with the feature `redis`.

use crate::backend::{CacheBackend, RedisCacheBackend};
use crate::config::Config;
use crate::error::Error;
use std::sync::Arc;

/// # Errors
/// If the URL has none of the forms that [`RedisCacheBackend`] takes.
pub(in crate::config) fn build(config: &Config) -> Result<Arc<dyn CacheBackend>, Error> {
    let mut builder = RedisCacheBackend::builder()
        .url(&*config.redis_url)
        .prefix(&*config.prefix)
        .default_ttl(config.default_ttl)
        .patience(config.patience)
        .max_waiting_loads(config.loads.max_waiting)
        .timeout(config.redis_timeout)
        .codec(config.codec.clone().unwrap_or_default());
    if let Some(max_loads) = config.loads.max_loads {
        builder = builder.max_loads(max_loads);
    }
    if config.is_strict {
        builder = builder.strict();
    }
    Ok(Arc::new(builder.build_named("REDIS_URL")?))
}
