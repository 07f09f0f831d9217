//! [`CacheBackendExt::get_or_load`](crate::backend::CacheBackendExt::get_or_load): one loads for all who ask at a time.

use super::{Joined, Leader, Stuck, Work};
use crate::backend::typed::read;
use crate::backend::{CacheBackend, Cacheable, Value};
use crate::error::Error;
use crate::time::Ttl;
use std::future::Future;

pub(in crate::backend) async fn get_or_load<B, T, E, F, Fut>(
    backend: &B,
    key: &str,
    ttl: Ttl,
    f: F,
) -> Result<T, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
{
    let named = |error: Error| error.during("get_or_load", Some(key));
    let flights = backend.flights();
    // Run inside, so that a load of the same key in `f` does not wait for this one.
    let load = async {
        let loaded = flights.inside(Work::Load, key, async { f().await });
        let loaded = loaded.await.map_err(Error::load);
        loaded.and_then(Value::new)
    };
    // One for all the leaders that may give up before one of them ends.
    let mut deadline = None;
    let answer = loop {
        if let Some(value) = read::get(backend, key).await.map_err(named)? {
            return Ok(value);
        }
        if flights.is_nested(key).map_err(named)? {
            break load.await;
        }
        match flights.join(key) {
            Joined::Leads(leader) => break lead(backend, key, ttl, leader, load).await,
            Joined::Follows(leading) => {
                let deadline = *deadline.get_or_insert_with(|| flights.deadline());
                match flights.answer(key, &leading, deadline).await {
                    Ok(Some(answer)) => break answer,
                    // The leader gave up.
                    Ok(None) => {}
                    // The leader waits for us.
                    Err(Stuck::Circular) => break load.await,
                    Err(Stuck::Late(error)) => break Err(error),
                }
            }
        }
    };
    answer.and_then(|value| value.to()).map_err(named)
}

/// Loads, stores, and answers all followers.
async fn lead<B: CacheBackend + ?Sized>(
    backend: &B,
    key: &str,
    ttl: Ttl,
    leader: Leader<'_>,
    load: impl Future<Output = Result<Value, Error>> + Send,
) -> Result<Value, Error> {
    let answer = match backend.get_value(key).await {
        // Another load has ended between our look and our lead. What it stored is not for followers: a write that began before
        // we led may be about to remove it, and they may come after that.
        Ok(Some(value)) => return Ok(value),
        Ok(None) => load.await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(value) if leader.may_store() => {
            let stored = backend.compare_and_set(key, None, value.clone(), Some(ttl));
            // It is not stored if another has stored a value meanwhile: that one stays.
            stored.await.map(|_| value)
        }
        other => other,
    };
    let answer = answer.map_err(|error| error.during("get_or_load", Some(key)));
    leader.end(answer.clone());
    answer
}
