//! Typed reads. What cannot be decoded as the type that was asked for is a miss, or an error where reads are strict.

use crate::backend::undecodable::{DecodeError, Reason};
use crate::backend::{CacheBackend, Value, event};
use crate::error::Error;
use serde_core::de::DeserializeOwned;
use std::any::type_name;
use std::sync::Arc;

/// A value that is in memory as a `T` is cloned in place; anything else is converted.
pub(in crate::backend) fn get<B, T>(
    backend: &B,
    key: &str,
) -> impl Future<Output = Result<Option<T>, Error>>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Clone + Send + 'static,
{
    get_by(backend, key, Value::to)
}

/// As [`get`]; what many may read from this process's memory is decoded once.
pub(in crate::backend) fn get_once<B, T>(
    backend: &B,
    key: &str,
) -> impl Future<Output = Result<Option<T>, Error>>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    get_by(backend, key, Value::to_once)
}

async fn get_by<B, T, D>(backend: &B, key: &str, decode: D) -> Result<Option<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Clone + Send + 'static,
    D: Fn(&Value) -> Result<T, Error>,
{
    let mut found = None;
    let mut other = None;
    let mut read = |value: &Value| match value.quick() {
        Some(value) => found = Some(value),
        None => other = Some(value.clone()),
    };
    if !backend.read_now(key, &mut read) {
        other = backend.get_value(key).await?;
    }
    match other {
        None => Ok(found),
        Some(other) => decode_slow(backend, key, other, decode),
    }
}

#[cold]
fn decode_slow<B, T>(
    backend: &B,
    key: &str,
    value: Value,
    decode: impl Fn(&Value) -> Result<T, Error>,
) -> Result<Option<T>, Error>
where
    B: CacheBackend + ?Sized,
{
    or_miss(backend, "get", key, decode(&value))
}

pub(in crate::backend) async fn get_shared<B, T>(
    backend: &B,
    key: &str,
) -> Result<Option<Arc<T>>, Error>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Send + Sync + 'static,
{
    match backend.get_value(key).await? {
        None => Ok(None),
        Some(value) => or_miss(backend, "get", key, value.to_shared()),
    }
}

pub(in crate::backend) async fn get_many<B, T>(
    backend: &B,
    keys: &[&str],
) -> Result<Vec<Option<T>>, Error>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Clone + Send + 'static,
{
    let values = backend.get_values(keys).await?;
    let typed = values
        .into_iter()
        .zip(keys)
        .map(|(value, key)| match value {
            Some(value) => or_miss(backend, "get_many", key, value.to()),
            None => Ok(None),
        });
    typed.collect()
}

/// The value that was read; `None`, counted and told, if it could not be decoded.
#[inline]
pub(in crate::backend) fn or_miss<B, R>(
    backend: &B,
    operation: &'static str,
    key: &str,
    read: Result<R, Error>,
) -> Result<Option<R>, Error>
where
    B: CacheBackend + ?Sized,
{
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error) => miss_slow(backend, operation, key, type_name::<R>(), error).map(|()| None),
    }
}

#[cold]
fn miss_slow<B>(
    backend: &B,
    operation: &'static str,
    key: &str,
    wanted: &'static str,
    error: Error,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
    let cause = error.cause::<DecodeError>();
    let reason = cause.map_or(Reason::Malformed, |cause| cause.reason);
    backend.flights().undecodable().count(reason);
    if backend.is_strict() {
        return Err(error.during(operation, Some(key)));
    }
    event::undecodable(operation, reason, wanted);
    Ok(())
}
