//! [`CacheBackendExt::get_or_load`](crate::backend::CacheBackendExt::get_or_load): one loads for all who ask at a time.

use super::{Joined, Leader, Stuck};
use crate::backend::stats::Operation;
use crate::backend::typed::{read, write};
use crate::backend::{CacheBackend, Cacheable, Value};
use crate::error::Error;
use crate::time::Ttl;
use std::future::Future;

const OPERATION: &str = "get_or_load";

/// What was loaded.
struct Loaded {
    /// For all who wait.
    answer: Value,
    stored: Value,
}

impl Loaded {
    fn new<B, T>(backend: &B, key: &str, value: T) -> Result<Self, Error>
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
    {
        if backend.codec().is_none() {
            let stored = Value::new(value)?;
            let answer = stored.clone();
            return Ok(Self { answer, stored });
        }
        // Those who wait are not to decode it again.
        let stored = write::cloned(backend, key, &value)?;
        let answer = write::shared(value);
        Ok(Self { answer, stored })
    }
}

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
    let named = |error: Error| error.during(OPERATION, Some(key));
    let flights = backend.flights();
    // Run inside, so that a load of the same key in `f` does not wait for this one.
    let load = async {
        let loaded = flights.load(key, async { f().await });
        let loaded = loaded.await.map_err(Error::load);
        loaded.and_then(|value| Loaded::new(backend, key, value))
    };
    // One for all the leaders that may give up before one of them ends.
    let mut deadline = None;
    let loaded = loop {
        if let Some(value) = read::get(backend, key).await.map_err(named)? {
            return Ok(value);
        }
        if flights.is_nested(key).map_err(named)? {
            break load.await;
        }
        match flights.join(key) {
            Joined::Leads(leader) => {
                return lead(backend, key, ttl, leader, load).await.map_err(named);
            }
            Joined::Follows(leading) => {
                let deadline = *deadline.get_or_insert_with(|| flights.deadline());
                match flights.answer(key, &leading, deadline).await {
                    Ok(Some(answer)) => {
                        let typed = answer?.to();
                        match read::or_miss(backend, OPERATION, key, typed)? {
                            Some(value) => return Ok(value),
                            // The leader loads something of another type.
                            None => break load.await,
                        }
                    }
                    // The leader gave up.
                    Ok(None) => {}
                    // The leader waits for us.
                    Err(Stuck::Circular) => break load.await,
                    Err(Stuck::Late(error)) => return Err(named(error)),
                }
            }
        }
    };
    // A load on one's own: the result is only returned.
    loaded.and_then(|loaded| loaded.answer.to()).map_err(named)
}

/// Loads, stores, and answers all followers.
async fn lead<B, T>(
    backend: &B,
    key: &str,
    ttl: Ttl,
    leader: Leader<'_>,
    load: impl Future<Output = Result<Loaded, Error>> + Send,
) -> Result<T, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    let (loaded, undecodable) = match backend.get_value(key).await {
        Ok(Some(found)) => match found.to() {
            // Another load has ended between our look and our lead. What it stored is not for followers: a write that began
            // before we led may be about to remove it, and they may come after that.
            Ok(value) => return Ok(value),
            Err(error) if backend.is_strict() => return Err(error),
            // What we came upon before, most likely, and counted then.
            Err(_) => (load.await, Some(found)),
        },
        Ok(None) => {
            backend.flights().miss_again(Operation::Get, 1);
            (load.await, None)
        }
        Err(error) => (Err(error), None),
    };
    let answer = match loaded {
        Ok(loaded) if leader.may_store() => {
            let stored =
                backend.compare_and_set(key, undecodable.as_ref(), loaded.stored, Some(ttl));
            // It is not stored if another has stored a value meanwhile: that one stays.
            stored.await.map(|_| loaded.answer)
        }
        other => other.map(|loaded| loaded.answer),
    };
    let answer = answer.map_err(|error| error.during(OPERATION, Some(key)));
    leader.end(answer.clone());
    answer?.to()
}
