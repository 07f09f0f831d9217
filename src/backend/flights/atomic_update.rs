//! [`CacheBackendExt::try_atomic_update`](crate::backend::CacheBackendExt::try_atomic_update): optimistic updates that take turns.

use super::{Flights, Scope, Stuck, Turn, Work};
use crate::backend::tag::{self, Tag};
use crate::backend::typed::{read, tags, write};
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
    tag::check_key(key).map_err(named)?;
    let flights = backend.flights();
    let (turn, mut stored) = turn(flights, key).await.map_err(named)?;
    // A store that encodes compares bytes. Which these are is known here, unless they are encrypted.
    let codec = backend.codec().filter(|codec| !codec.encrypts());
    for _ in 0..ATTEMPTS {
        // What the update before has stored while this one waited, read as this caller reads. If it is not there any more, nothing is
        // stored, and the store is asked.
        let current = match (stored.take(), codec) {
            (Some(stored), Some(codec)) => Some(codec.found(key, stored)),
            _ => backend.get_value(key).await.map_err(named)?,
        };
        let live = match current.as_ref() {
            Some(value) if read::is_live(backend, value).await.map_err(named)? => Some(value),
            _ => None,
        };
        // Before `f` sees anything that is derived from what they are removed with.
        let tags = tags_of(backend, live).await.map_err(named)?;
        let typed = live.map(Value::to).transpose();
        let typed = typed.map_err(named)?;
        let next = flights.inside(Work::Update, key, async { f(typed).await });
        let next = next.await?;
        let meta = tags::beside(backend, &tags);
        let value = write::cloned(backend, key, &next, meta.as_ref()).map_err(named)?;
        let ttl = match (ttl, live) {
            (None, None) => Some(backend.default_ttl()),
            // The store keeps it longer than it is fresh, unless it is fresh for as long as it is there.
            (None, Some(live)) => {
                let times = live.times().filter(|times| times.fresh_until != u64::MAX);
                times.map(|times| times.left(wall::now(backend)))
            }
            _ => ttl,
        };
        // An update that removes the entry overtakes the loads of the key, as every removal does.
        if ttl == Some(Ttl::After(Duration::ZERO)) {
            write::begin(backend, Scope::Key(key), OPERATION).await?;
        }
        let value = match codec {
            Some(codec) => codec.to_stored(key, &value).map_err(named)?,
            None => value,
        };
        // With no time to live it is not there.
        let successors = turn
            .as_ref()
            .filter(|_| codec.is_some() && ttl != Some(Ttl::After(Duration::ZERO)))
            .and_then(Turn::successors);
        let written = backend.compare_and_set(key, current.as_ref(), value.clone(), ttl);
        if written.await.map_err(named)? {
            if let (Some(turn), Some(successors)) = (turn, successors) {
                turn.leave(value, successors);
            }
            return Ok(next);
        }
    }
    let cause = format!("the value changed during each of {ATTEMPTS} attempts");
    Err(named(Error::contention(cause)).into())
}

/// The tags of what is derived from a value, or from nothing: those that it has, with the versions that it has, and those of the backend.
async fn tags_of<B>(backend: &B, live: Option<&Value>) -> Result<Box<[Tag]>, Error>
where
    B: CacheBackend + ?Sized,
{
    let mut all = live
        .map(|value| value.tags().into_owned())
        .unwrap_or_default();
    if !backend.entry_tags().is_empty() {
        let new = Box::pin(tags::current::<_, &str>(backend, &[])).await?;
        let is_new = |tag: &Tag| !all.iter().any(|other| other.key() == tag.key());
        let new: Vec<Tag> = new.into_iter().filter(is_new).collect();
        all.extend(new);
        let names: Vec<&str> = all.iter().map(Tag::name).collect();
        tag::check_tags(&names)?;
    }
    Ok(all.into())
}

/// The turn to update a key, and what the last update has stored, if that is known; no turn for an update that would wait for itself. A turn
/// is no lock: an update without it only has to try again more often.
async fn turn<'f>(
    flights: &'f Flights,
    key: &str,
) -> Result<(Option<Turn<'f>>, Option<Value>), Error> {
    if flights.is_nested(key)? {
        return Ok((None, None));
    }
    match flights.turn(key).await {
        Ok((turn, stored)) => Ok((Some(turn), stored)),
        Err(Stuck::Circular) => Ok((None, None)),
        Err(Stuck::Late(error)) => Err(error),
    }
}
