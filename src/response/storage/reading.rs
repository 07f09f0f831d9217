//! How the storage looks into the backend.

use crate::backend::{CacheBackend, Value};
use crate::error::Error;

/// The values of some keys, if the look takes no waiting. `None` if it does, or fails.
pub(super) fn look_now<const N: usize>(
    backend: &dyn CacheBackend,
    keys: [&str; N],
) -> Option<[Option<Value>; N]> {
    let mut values = [const { None }; N];
    for (key, found) in keys.into_iter().zip(&mut values) {
        if !backend.read_now(key, &mut |value| *found = Some(value.clone())) {
            return None;
        }
    }
    Some(values)
}

/// The value of a key. What cannot be a value of ours counts as missing.
pub(super) async fn look(backend: &dyn CacheBackend, key: &str) -> Result<Option<Value>, Error> {
    if let Some([value]) = look_now(backend, [key]) {
        return Ok(value);
    }
    match backend.get_value(key).await {
        Err(error) if error.is_wrong_type() => Ok(None),
        found => found,
    }
}

/// As [`look`], from where all processes see it.
pub(super) async fn look_at_latest(
    backend: &dyn CacheBackend,
    key: &str,
) -> Result<Option<Value>, Error> {
    match backend.latest_value(key).await {
        Err(error) if error.is_wrong_type() => Ok(None),
        found => found,
    }
}

/// As [`look`], for many keys. Where a value of another type makes the call for all of them fail, they are read one by one.
pub(super) async fn look_at_all<const N: usize>(
    backend: &dyn CacheBackend,
    keys: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    if let Some(values) = look_now(backend, keys) {
        return Ok(values);
    }
    let found = look_at_each(backend, &keys).await?;
    Ok(found.try_into().unwrap_or([const { None }; N]))
}

/// As [`look_at_all`], for any number of keys: one value for each.
pub(super) async fn look_at_each(
    backend: &dyn CacheBackend,
    keys: &[&str],
) -> Result<Vec<Option<Value>>, Error> {
    match backend.get_values(keys).await {
        Err(error) if error.is_wrong_type() => {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(look(backend, key).await?);
            }
            Ok(values)
        }
        Ok(found) if found.len() == keys.len() => Ok(found),
        // An answer that is not one value for each key says nothing about any of them.
        Ok(_) => Ok(vec![None; keys.len()]),
        Err(error) => Err(error),
    }
}

/// A purge mark; 0 if it is none.
pub(super) fn mark(value: Option<Value>) -> u64 {
    let mark = value.and_then(|value| value.to::<i64>().ok());
    mark.unwrap_or(0).cast_unsigned()
}
