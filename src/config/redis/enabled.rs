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
        .near_max_bytes(near.max_bytes)
        .max_staleness(near.max_staleness)
        .max_repairs(near.max_repairs)
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
    if let Some(failures) = config.breaker.threshold {
        builder = builder.breaker_threshold(failures);
    }
    if let Some(pause) = config.breaker.longest_pause {
        builder = builder.breaker_pause(pause);
    }
    if config.is_strict {
        builder.strict()
    } else {
        builder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_breaker_reach_the_builder() {
        let variables = |name: &str| match name {
            "REDIS_BREAKER_THRESHOLD" => Some("3".to_owned()),
            "REDIS_BREAKER_PAUSE_MS" => Some("70".to_owned()),
            _ => None,
        };
        let config = Config::from_variables(variables).unwrap();
        let shown = format!("{:?}", builder(&config));
        assert!(shown.contains("threshold: 3"), "{shown}");
        assert!(shown.contains("longest_pause: 70ms"), "{shown}");
        // What is not set is the builder's own.
        let (plain, default) = (builder(&Config::default()), RedisCacheBackend::builder());
        let breaker = |builder: &RedisCacheBackendBuilder| {
            let shown = format!("{builder:?}");
            shown
                .split("breaker: ")
                .nth(1)
                .map(|it| it[..40].to_owned())
        };
        assert!(breaker(&plain).is_some());
        assert_eq!(breaker(&plain), breaker(&default));
    }
}
