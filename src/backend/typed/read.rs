//! Typed reads. What cannot be decoded as the type that was asked for is a miss, or an error where reads are strict. What loads
//! have kept beyond its time is a miss, too, as is what they keep in the place of a value that there is not.

use super::tags;
use crate::backend::undecodable::{DecodeError, Reason};
use crate::backend::value::Condition;
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
    let (holds, other) = {
        let (mut holds, mut found, mut other) = (false, None, None);
        let mut read = |value: &Value| match value.quick() {
            Some(value) => found = Some(value),
            None => (holds, found, other) = look_inside(backend, value),
        };
        // At once: what is moved on the way waits until it has been written.
        if backend.read_now(key, &mut read) && other.is_none() {
            return Ok(found);
        }
        (holds, other)
    };
    if let Some(other) = &other
        && let Some(read) = read_at_sight(backend, key, other, holds, decode_slow)
    {
        return read;
    }
    Box::pin(get_slow(backend, key, other, decode_slow)).await
}

/// What is to be decoded, unless its tags are to be looked at first. `holds`: it is known already that it may be shown.
#[cold]
#[inline(never)]
fn read_at_sight<B, R>(
    backend: &B,
    key: &str,
    value: &Value,
    holds: bool,
    decode: impl FnOnce(&B, &str, &Value) -> Result<Option<R>, Error>,
) -> Option<Result<Option<R>, Error>>
where
    B: CacheBackend + ?Sized,
{
    let is_live = is_live_at_sight(backend, value, holds)?;
    Some(if is_live {
        decode(backend, key, value)
    } else {
        Ok(None)
    })
}

/// What is not in memory, or has tags that are to be looked at: apart, so that the future of a hit is small and moved at little cost.
async fn get_slow<B, R>(
    backend: &B,
    key: &str,
    other: Option<Value>,
    decode: impl FnOnce(&B, &str, &Value) -> Result<Option<R>, Error>,
) -> Result<Option<R>, Error>
where
    B: CacheBackend + ?Sized,
{
    let other = match other {
        None => backend.get_value(key).await?,
        known => known,
    };
    match other {
        Some(other) if is_live_now(backend, key, &other).await? => decode(backend, key, &other),
        _ => Ok(None),
    }
}

/// Of what is no plain value of this type: whether it may be shown, and then the value, if that takes no decoding; else what there is.
#[inline(never)]
fn look_inside<B, T>(backend: &B, value: &Value) -> (bool, Option<T>, Option<Value>)
where
    B: CacheBackend + ?Sized,
    T: Clone + 'static,
{
    let holds = may_be_shown(backend, value);
    let found: Option<T> = holds.then(|| value.quick_inside()).flatten();
    let other = found.is_none().then(|| value.clone());
    (holds, found, other)
}

/// Whether a value is known to be one that may be shown. Where it says no, it may be.
#[inline]
fn may_be_shown<B>(backend: &B, value: &Value) -> bool
where
    B: CacheBackend + ?Sized,
{
    match value.condition() {
        Condition::Always => true,
        Condition::Tags(checked) => tags::are_checked(backend, checked),
        Condition::Other => false,
    }
}

/// As [`is_live`], if that can be said without looking at tags. `holds`: it is known already that it is.
fn is_live_at_sight<B>(backend: &B, value: &Value, holds: bool) -> Option<bool>
where
    B: CacheBackend + ?Sized,
{
    if holds {
        Some(true)
    } else if !is_fresh(backend, value) {
        Some(false)
    } else {
        (!value.is_tagged()).then_some(true)
    }
}

/// As [`is_live`], for who reads one key, and whatever is known of its tags already: now and then they are to be looked up.
async fn is_live_now<B>(backend: &B, key: &str, value: &Value) -> Result<bool, Error>
where
    B: CacheBackend + ?Sized,
{
    if let Some(is_live) = is_live_at_sight(backend, value, false) {
        return Ok(is_live);
    }
    let holds = tags::look_up(backend, value).await;
    holds.map_err(|error| error.renamed("get", key))
}

#[cold]
fn decode_slow<B, T>(backend: &B, key: &str, value: &Value) -> Result<Option<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Clone + 'static,
{
    or_miss(backend, "get", key, value.to())
}

/// Whether it is a value to those who only read.
///
/// # Errors
/// What the store fails with, if the value has tags.
pub(in crate::backend) async fn is_live<B>(backend: &B, value: &Value) -> Result<bool, Error>
where
    B: CacheBackend + ?Sized,
{
    Ok(is_fresh(backend, value) && (!value.is_tagged() || tags::hold(backend, value).await?))
}

/// As [`is_live`], of many; those that are not there are not.
///
/// # Errors
/// As [`is_live`].
pub(in crate::backend) async fn are_live<B>(
    backend: &B,
    values: &[Option<Value>],
) -> Result<Vec<bool>, Error>
where
    B: CacheBackend + ?Sized,
{
    let fresh = |value: &Value| is_fresh(backend, value);
    let mut live: Vec<bool> = values
        .iter()
        .map(|it| it.as_ref().is_some_and(fresh))
        .collect();
    if values.iter().flatten().any(Value::is_tagged) {
        let hold = tags::hold_each(backend, values, |at| live[at]).await?;
        live.iter_mut()
            .zip(hold)
            .for_each(|(live, holds)| *live &= holds);
    }
    Ok(live)
}

/// The same, whatever has become of its tags.
fn is_fresh<B>(backend: &B, value: &Value) -> bool
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
    let (holds, other) = {
        let (mut holds, mut found, mut other) = (false, None, None);
        let mut read = |value: &Value| {
            holds = may_be_shown(backend, value);
            match holds.then(|| value.quick_shared()).flatten() {
                Some(value) => found = Some(value),
                None => other = Some(value.clone()),
            }
        };
        if backend.read_now(key, &mut read) && other.is_none() {
            return Ok(found);
        }
        (holds, other)
    };
    if let Some(other) = &other
        && let Some(read) = read_at_sight(backend, key, other, holds, share_slow)
    {
        return read;
    }
    Box::pin(get_slow(backend, key, other, share_slow)).await
}

#[cold]
fn share_slow<B, T>(backend: &B, key: &str, value: &Value) -> Result<Option<Arc<T>>, Error>
where
    B: CacheBackend + ?Sized,
    T: DeserializeOwned + Send + Sync + 'static,
{
    or_miss(backend, "get", key, value.to_shared())
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
    let live = are_live(backend, &values).await;
    let live = live.map_err(|error| error.during("get_many", None))?;
    let values = values.into_iter().zip(live).zip(keys);
    let typed = values.map(|((value, is_live), key)| match value {
        Some(value) if is_live => or_miss(backend, "get_many", key, value.to()),
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
