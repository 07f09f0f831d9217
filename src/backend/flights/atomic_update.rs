//! [`CacheBackendExt::try_atomic_update`](crate::backend::CacheBackendExt::try_atomic_update): optimistic updates that take turns.

use super::{Flights, Scope, Stuck, Turn, Work};
use crate::backend::typed::{read, write};
use crate::backend::{CacheBackend, Cacheable, Value, wall};
use crate::error::Error;
use crate::time::Ttl;
use std::future::Future;
use std::time::Duration;

/// How often an update is tried before it gives up. Those of one process take turns, so only other processes and plain writes
/// can come between.
const ATTEMPTS: u32 = 256;

const OPERATION: &str = "atomic_update";

/// A `ttl` of `None` keeps what the entry has left to live. A value that cannot be decoded is an error, however a read would take
/// it: the update would write over what it has not seen. What loads have kept beyond its time is no value, and is written over.
pub(in crate::backend) async fn try_atomic_update<B, T, E, F, Fut>(
    backend: &B,
    key: &str,
    ttl: Option<Ttl>,
    mut f: F,
) -> Result<T, E>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: From<Error> + Send,
    F: FnMut(Option<T>) -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
{
    let named = |error: Error| error.during(OPERATION, Some(key));
    let flights = backend.flights();
    let _turn = turn(flights, key).await.map_err(named)?;
    for _ in 0..ATTEMPTS {
        let current = backend.get_value(key).await.map_err(named)?;
        let live = current.as_ref();
        let live = live.filter(|value| read::is_live(backend, value));
        let typed = live.map(Value::to).transpose();
        let typed = typed.map_err(named)?;
        let next = flights.inside(Work::Update, key, async { f(typed).await });
        let next = next.await?;
        let value = write::cloned(backend, key, &next).map_err(named)?;
        let ttl = match (ttl, live) {
            (None, None) => Some(backend.default_ttl()),
            // The store keeps it longer than it is fresh.
            (None, Some(live)) => live.times().map(|times| times.left(wall::now(backend))),
            _ => ttl,
        };
        // An update that removes the entry overtakes the loads of the key, as every removal does.
        if ttl == Some(Ttl::After(Duration::ZERO)) {
            write::begin(backend, Scope::Key(key), OPERATION).await?;
        }
        let stored = backend.compare_and_set(key, current.as_ref(), value, ttl);
        if stored.await.map_err(named)? {
            return Ok(next);
        }
    }
    let cause = format!("the value changed during each of {ATTEMPTS} attempts");
    Err(named(Error::contention(cause)).into())
}

/// The turn to update a key; `None` for an update that would wait for itself. A turn is no lock: an update without it only has to
/// try again more often.
async fn turn<'f>(flights: &'f Flights, key: &str) -> Result<Option<Turn<'f>>, Error> {
    if flights.is_nested(key)? {
        return Ok(None);
    }
    match flights.turn(key).await {
        Ok(turn) => Ok(Some(turn)),
        Err(Stuck::Circular) => Ok(None),
        Err(Stuck::Late(error)) => Err(error),
    }
}
