//! Typed reads.

use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use serde_core::de::DeserializeOwned;
use std::sync::Arc;

/// A value that is in memory as a `T` is cloned in place; anything else is converted by way of JSON.
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
        Some(other) => other
            .to()
            .map(Some)
            .map_err(|error| error.during("get", Some(key))),
    }
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
        Some(value) => value
            .to_shared()
            .map(Some)
            .map_err(|error| error.during("get", Some(key))),
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
    let typed = values.into_iter().zip(keys).map(|(value, key)| {
        let typed = value.as_ref().map(Value::to).transpose();
        typed.map_err(|error| error.during("get_many", Some(key)))
    });
    typed.collect()
}
