//! Typed writes. Each overtakes the loads of its keys before it touches the store: see [`Flights`](crate::backend::Flights).

use crate::backend::flights::Scope;
use crate::backend::value::{is_integer_type, to_integer};
use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use crate::time::Ttl;
use serde_core::Serialize;
use std::sync::Arc;

/// A value as it is handed to the store: encoded at once where the store keeps bytes.
fn owned<B, T>(backend: &B, key: &str, value: T) -> Result<Value, Error>
where
    B: CacheBackend + ?Sized,
    T: Serialize + Send + Sync + 'static,
{
    match backend.codec() {
        Some(codec) => codec.encode(key, &value, to_integer(&value)),
        None => Value::new(value),
    }
}

/// As [`owned`], of a value that is not given away: it is cloned where the store keeps values as they are.
pub(in crate::backend) fn cloned<B, T>(backend: &B, key: &str, value: &T) -> Result<Value, Error>
where
    B: CacheBackend + ?Sized,
    T: ToOwned<Owned: Serialize + Send + Sync + 'static> + Serialize + ?Sized + 'static,
{
    let Some(codec) = backend.codec() else {
        return Value::new(value.to_owned());
    };
    let integer = is_integer_type::<T>().then(|| to_integer(&value.to_owned()));
    codec.encode(key, value, integer.flatten())
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
    let value = owned(backend, key, value);
    store(backend, key, value, ttl).await
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
    let value = cloned(backend, key, value);
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
pub(in crate::backend) fn values<'k, B, T>(
    backend: &B,
    entries: impl IntoIterator<Item = (&'k str, T)>,
) -> Result<Vec<(&'k str, Value)>, Error>
where
    B: CacheBackend + ?Sized,
    T: Serialize + Send + Sync + 'static,
{
    let values = entries
        .into_iter()
        .map(|(key, value)| match owned(backend, key, value) {
            Ok(value) => Ok((key, value)),
            Err(error) => Err(error.during("set_many", Some(key))),
        });
    values.collect()
}

pub(in crate::backend) async fn set_many<B>(
    backend: &B,
    entries: Result<Vec<(&str, Value)>, Error>,
    ttl: Ttl,
) -> Result<(), Error>
where
    B: CacheBackend + ?Sized,
{
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
        None => backend.incr_value(key, by, ttl).await,
    }
}
