//! Typed reads. What cannot be decoded as the type that was asked for is a miss, or an error where reads are strict. What loads
//! have kept beyond its time is a miss, too, as is what they keep in the place of a value that there is not.

use crate::backend::undecodable::{DecodeError, Reason};
use crate::backend::{CacheBackend, Value, event, wall};
use crate::error::Error;
use serde_core::de::DeserializeOwned;
use std::any::type_name;
use std::sync::Arc;

/// A value that is in memory as a `T` is cloned in place; anything else is converted.
pub(in crate::backend) async fn get<B, T>(backend: &B, key: &str) -> Result<Option<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Clone + Send + 'static,
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
        Some(other) => decode_slow(backend, key, other),
    }
}

#[cold]
fn decode_slow<B, T>(backend: &B, key: &str, value: Value) -> Result<Option<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Clone + 'static,
{
    if !is_live(backend, &value) {
        return Ok(None);
    }
    or_miss(backend, "get", key, value.to())
}

/// Whether it is a value to those who only read.
pub(in crate::backend) fn is_live<B>(backend: &B, value: &Value) -> bool
where
    B: CacheBackend + ?Sized,
{
    value.times().is_none_or(|times| {
        !times.is_negative && times.is_fresh(wall::now_beside(backend, times.fresh_until))
    })
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
        Some(value) if is_live(backend, &value) => or_miss(backend, "get", key, value.to_shared()),
        _ => Ok(None),
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
            Some(value) if is_live(backend, &value) => {
                or_miss(backend, "get_many", key, value.to())
            }
            _ => Ok(None),
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
    or_miss_unless(backend.is_strict(), backend, operation, key, read)
}

/// As [`or_miss`], for who decides whether reads are strict.
#[inline]
pub(in crate::backend) fn or_miss_unless<B, R>(
    is_strict: bool,
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
        Err(error) => {
            let missed = Missed {
                operation,
                key,
                wanted: type_name::<R>(),
            };
            missed.slow(backend, is_strict, error).map(|()| None)
        }
    }
}

/// A read that found what it could not decode.
struct Missed<'k> {
    operation: &'static str,
    key: &'k str,
    wanted: &'static str,
}

impl Missed<'_> {
    #[cold]
    fn slow<B>(self, backend: &B, is_strict: bool, error: Error) -> Result<(), Error>
    where
        B: CacheBackend + ?Sized,
    {
        let cause = error.cause::<DecodeError>();
        let reason = cause.map_or(Reason::Malformed, |cause| cause.reason);
        backend.flights().undecodable().count(reason);
        if is_strict {
            return Err(error.during(self.operation, Some(self.key)));
        }
        event::undecodable(self.operation, reason, self.wanted);
        Ok(())
    }
}
