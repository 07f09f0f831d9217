//! TLS, with the feature `redis-tls`.

#[cfg(not(feature = "redis-tls"))]
mod disabled;
#[cfg(feature = "redis-tls")]
mod enabled;

#[cfg(not(feature = "redis-tls"))]
pub(super) use disabled::prepare;
#[cfg(feature = "redis-tls")]
pub(super) use enabled::prepare;
