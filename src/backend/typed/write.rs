//! Typed writes. Each overtakes the loads of its keys before it touches the store: see [`Flights`](crate::backend::Flights).

use super::tags;
use crate::backend::flights::Scope;
use crate::backend::kept::Meta;
use crate::backend::tag;
use crate::backend::value::{is_integer_type, to_integer};
use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use crate::time::Ttl;
use serde_core::Serialize;
use std::sync::Arc;

/// A value as it is handed to the store: encoded at once where the store keeps bytes. With what is to be kept beside it, if anything is.
fn owned<B, T>(backend: &B, key: &str, value: T, meta: Option<&Meta>) -> Result<Value, Error>
where
    B: CacheBackend + ?Sized,
    T: Serialize + Send + Sync + 'static,
{
    let Some(codec) = backend.codec() else {
        return Ok(beside(Value::new(value)?, meta));
    };
    match meta {
        None => codec.encode(key, &value, to_integer(&value)),
        Some(meta) => codec.encode_kept(key, &value, to_integer(&value), meta),
    }
}

fn beside(value: Value, meta: Option<&Meta>) -> Value {
    match meta {
        None => value,
        Some(meta) => value.kept(meta.clone()),
    }
}

/// As [`owned`], of a value that is not given away: it is cloned where the store keeps values as they are.
pub(in crate::backend) fn cloned<B, T>(
    backend: &B,
    key: &str,
    value: &T,
    meta: Option<&Meta>,
) -> Result<Value, Error>
where
    B: CacheBackend + ?Sized,
    T: ToOwned<Owned: Serialize + Send + Sync + 'static> + Serialize + ?Sized + 'static,
{
    let Some(codec) = backend.codec() else {
        return Ok(beside(Value::new(value.to_owned())?, meta));
    };
    let integer = is_integer_type::<T>().then(|| to_integer(&value.to_owned()));
    let integer = integer.flatten();
    match meta {
        None => codec.encode(key, value, integer),
        Some(meta) => codec.encode_kept(key, value, integer, meta),
    }
}

/// A value that the store's codec could represent, for others in this process.
pub(in crate::backend) fn shared<T: Serialize + Send + Sync + 'static>(value: T) -> Value {
    match to_integer(&value) {
        Some(integer) => Value::integer(integer),
        // It is not stored.
        None => Value::trusted(Arc::new(value), 0),
    }
}

/// What comes before a write of these keys: it overtakes their loads, and makes void that the last of them failed.
pub(in crate::backend) async fn begin<B>(
    backend: &B,
    scope: Scope<'_>,
    write: &'static str,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
    let reserved = match scope {
        Scope::Key(key) => tag::check_key(key),
        Scope::Keys(keys) => keys.iter().try_for_each(|key| tag::check_key(key)),
        Scope::All => Ok(()),
    };
    reserved.map_err(|error| error.during(write, None))?;
    let flights = backend.flights();
    flights.overtake(scope, write).await?;
    flights.failures().forget(scope);
    Ok(())
}

pub(in crate::backend) async fn set<B, T>(
    backend: &B,
    key: &str,
    value: T,
    ttl: Ttl,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
    T: Serialize + Send + Sync + 'static,
{
    if !backend.entry_tags().is_empty() {
        return Box::pin(set_tagged(backend, key, value, ttl, &[])).await;
    }
    let value = owned(backend, key, value, None);
    store(backend, key, value, ttl).await
}

/// With these tags, and those of the backend.
pub(in crate::backend) async fn set_tagged<B, T>(
    backend: &B,
    key: &str,
    value: T,
    ttl: Ttl,
    tags: &[&str],
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
    T: Serialize + Send + Sync + 'static,
{
    let meta = meta(backend, key, tags).await?;
    let value = owned(backend, key, value, meta.as_ref());
    store(backend, key, value, ttl).await
}

async fn meta<B>(backend: &B, key: &str, tags: &[&str]) -> Result<Option<Meta>, Error>
where
    B: CacheBackend + ?Sized,
{
    let meta = tags::meta(backend, tags).await;
    meta.map_err(|error| error.renamed("set", key))
}

pub(in crate::backend) async fn set_ref<B, T>(
    backend: &B,
    key: &str,
    value: &T,
    ttl: Ttl,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
    T: ToOwned<Owned: Serialize + Send + Sync + 'static> + Serialize + Sync + ?Sized + 'static,
{
    let meta = if backend.entry_tags().is_empty() {
        None
    } else {
        Box::pin(meta(backend, key, &[])).await?
    };
    let value = cloned(backend, key, value, meta.as_ref());
    store(backend, key, value, ttl).await
}

async fn store<B>(
    backend: &B,
    key: &str,
    value: Result<Value, Error>,
    ttl: Ttl,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
    let value = value.map_err(|error| error.during("set", Some(key)))?;
    begin(backend, Scope::Key(key), "set").await?;
    backend.set_value(key, value, ttl).await
}

/// The values of `set_many`, all of which the codec must be able to represent.
fn values<'k, B, T>(
    backend: &B,
    entries: impl IntoIterator<Item = (&'k str, T)>,
    meta: Option<&Meta>,
) -> Result<Vec<(&'k str, Value)>, Error>
where
    B: CacheBackend + ?Sized,
    T: Serialize + Send + Sync + 'static,
{
    let values = entries
        .into_iter()
        .map(|(key, value)| match owned(backend, key, value, meta) {
            Ok(value) => Ok((key, value)),
            Err(error) => Err(error.during("set_many", Some(key))),
        });
    values.collect()
}

pub(in crate::backend) async fn set_many<'k, B, T>(
    backend: &B,
    entries: impl IntoIterator<Item = (&'k str, T)> + Send,
    ttl: Ttl,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
    T: Serialize + Send + Sync + 'static,
{
    let entries = if backend.entry_tags().is_empty() {
        values(backend, entries, None)
    } else {
        let meta = Box::pin(tags::meta(backend, &[])).await;
        let meta = meta.map_err(|error| error.during("set_many", None))?;
        values(backend, entries, meta.as_ref())
    };
    let entries = entries?;
    let keys: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
    begin(backend, Scope::Keys(&keys), "set_many").await?;
    backend.set_values(entries, ttl).await
}

pub(in crate::backend) async fn delete<B>(backend: &B, key: &str) -> Result<bool, Error>
where
    B: CacheBackend + ?Sized,
{
    begin(backend, Scope::Key(key), "delete").await?;
    backend.delete_value(key).await
}

pub(in crate::backend) async fn delete_many<B>(backend: &B, keys: &[&str]) -> Result<u64, Error>
where
    B: CacheBackend + ?Sized,
{
    begin(backend, Scope::Keys(keys), "delete_many").await?;
    backend.delete_values(keys).await
}

pub(in crate::backend) async fn flush<B>(backend: &B) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
    begin(backend, Scope::All, "flush").await?;
    backend.flush_values().await
}

pub(in crate::backend) async fn incr<B>(
    backend: &B,
    key: &str,
    by: i64,
    ttl: Ttl,
) -> Result<i64, Error>
where
    B: CacheBackend + ?Sized,
{
    match backend.incr_now(key, by, ttl) {
        Some(sum) => Ok(sum),
        None => {
            tag::check_key(key).map_err(|error| error.during("incr", None))?;
            backend.incr_value(key, by, ttl).await
        }
    }
}
