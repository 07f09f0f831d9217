//! Functions that are not `async`, over a typed cache.
//!
//! A call that comes back to its own key runs the function, as it would without a cache: the cache, which would have to wait for itself,
//! says so.

use crate::cache::Cache;
use crate::error::Error;
use crate::time::Ttl;
use equivalent::Equivalent;
use std::convert::Infallible;
use std::hash::Hash;

/// The cache of a function.
///
/// # Panics
/// If a setting is not allowed.
pub fn cache<K: Hash + Eq, V>(
    function: &str,
    max_keys: Option<usize>,
    ttl: Option<Ttl>,
) -> Cache<K, V> {
    let mut builder = Cache::builder();
    if let Some(max_keys) = max_keys {
        builder = builder.max_keys(max_keys);
    }
    if let Some(ttl) = ttl {
        builder = builder.ttl(ttl);
    }
    match builder.build() {
        Ok(cache) => cache,
        Err(error) => panic!("#[cached] on {function}: {error}"),
    }
}

/// What the function returned for `key`, or returns now.
#[inline]
pub fn value<K, V, Q>(cache: &Cache<K, V>, key: &Q, call: impl FnOnce() -> V) -> V
where
    K: Hash + Eq,
    V: Clone,
    Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
{
    let Ok(value) = result(cache, key, || Ok::<V, Infallible>(call()));
    value
}

/// As [`value`], for a function that can fail: its errors are not stored.
#[inline]
pub fn result<K, V, E, Q>(
    cache: &Cache<K, V>,
    key: &Q,
    call: impl FnOnce() -> Result<V, E>,
) -> Result<V, E>
where
    K: Hash + Eq,
    V: Clone,
    Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
{
    let mut call = Some(call);
    let loaded = cache.try_get_or_insert_with(key, || match call.take() {
        Some(call) => call().map_err(Stopped::ByFunction),
        None => unreachable!("one load calls once"),
    });
    match (loaded, call) {
        (Ok(value), _) => Ok(value),
        (Err(Stopped::ByFunction(error)), _) => Err(error),
        (Err(Stopped::ByCache(_)), Some(call)) => call(),
        (Err(Stopped::ByCache(error)), None) => unreachable!("a call that was made: {error}"),
    }
}

/// Why a load has no value.
enum Stopped<E> {
    ByFunction(E),
    ByCache(Error),
}

impl<E> From<Error> for Stopped<E> {
    fn from(error: Error) -> Self {
        Self::ByCache(error)
    }
}
