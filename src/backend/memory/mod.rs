//! [`MemoryCacheBackend`]: the contract over [`Cache`].
//!
//! Nothing here waits: every call has done its work when it returns, and its future is ready.
//!
//! # Budgets
//! Values, counters and responses share one cache, because they share their keys: a `set` over a counter or an increment of a value is
//! one write of one entry, whatever becomes of it. What keeps them apart is said of entries. Each is weighed: a value by its bytes, of
//! which all together have a bound; a counter by none. And so many counters are pinned, which no other entry evicts. The pin is a matter
//! of what is stored, and not of the call that stores it, so that there is no way for a value to keep the place of a counter.
//!
//! Responses may have a backend of their own behind this one, as nobody but the response layer knows their keys.

mod builder;
mod counter;
mod counts;

#[cfg(any(feature = "global", feature = "redis"))]
pub(crate) use builder::MAX_BYTES;
pub use builder::MemoryCacheBackendBuilder;

use super::stats::Operation;
use super::{
    BackendFuture, BackendStats, CacheBackend, Codec, Flights, LoadOptions, TagChanges, Value, tag,
};
use crate::cache::{Cache, Stats, Update};
use crate::error::Error;
use crate::sync::{AtomicBool, Ordering, thread};
use crate::time::{ManualClock, Ttl};
use counter::{Added, Counter, in_band};
use counts::Counts;
use std::fmt;
use std::sync::Arc;

/// A backend in this process's memory: a [`Cache`] with string keys.
///
/// Values keep their type: a hit for the same type is a clone, and allocates nothing that the clone does not. Asked for as
/// another type they convert as if they had been stored as JSON. Counters are added to in place. With a
/// [`codec`](MemoryCacheBackendBuilder::codec) values are stored encoded instead.
///
/// ```
/// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = MemoryCacheBackend::new(10_000);
/// backend.set("pair", (1, "one".to_owned()), Ttl::Never).await?;
/// assert_eq!(backend.get::<(i32, String)>("pair").await?, Some((1, "one".to_owned())));
/// assert_eq!(backend.get::<serde_json::Value>("pair").await?.unwrap()[1], "one");
/// # Ok(())
/// # }
/// ```
pub struct MemoryCacheBackend {
    cache: Cache<Box<str>, Stored>,
    /// Where cached responses lie, if they have a budget of their own.
    responses: Option<Arc<Self>>,
    default_ttl: Ttl,
    /// `None`: values stay what they are.
    codec: Option<Codec>,
    is_strict: bool,
    load_options: LoadOptions,
    manual_clock: Option<ManualClock>,
    tag_changes: Option<TagChanges>,
    closed: AtomicBool,
    flights: Flights,
    counts: Counts,
}

/// What is stored under a key.
#[derive(Clone)]
enum Stored {
    Value(Value),
    Counter(Counter),
}

impl Stored {
    /// About how many bytes an entry takes; of counters none, as their number is bounded.
    fn weigh(key: &str, stored: &Self) -> u64 {
        match stored {
            Self::Value(value) => value.size().saturating_add(key.len() as u64),
            Self::Counter(_) => 0,
        }
    }

    fn is_counter(&self) -> bool {
        matches!(self, Self::Counter(_))
    }

    #[inline]
    fn show<R>(&self, read: impl FnOnce(&Value) -> R) -> Shown<R> {
        match self {
            Self::Value(value) => Shown::Value(read(value)),
            Self::Counter(counter) => match counter.get() {
                Some(integer) => Shown::Integer(integer),
                None => Shown::Dead,
            },
        }
    }
}

/// What a reader gets to see.
enum Shown<R> {
    /// What was made of a value.
    Value(R),
    /// A counter's.
    Integer(i64),
    /// A dead counter: the entry that replaces it is on its way.
    Dead,
}

impl MemoryCacheBackend {
    /// A backend for at most `max_keys` keys, half of which are for counters, and 256 MiB.
    ///
    /// # Panics
    /// If `max_keys` is 0, or more than a [`Cache`] can hold. [`builder`](Self::builder) returns an error instead.
    pub fn new(max_keys: usize) -> Self {
        match Self::builder().max_keys(max_keys).build() {
            Ok(backend) => backend,
            Err(error) => panic!("{error}"),
        }
    }

    /// About how many bytes the values take, counted as for [`max_bytes`](MemoryCacheBackendBuilder::max_bytes), which they never
    /// exceed.
    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Settings for a new backend: 10,000 keys, of which counters have 5,000 to themselves, 256 MiB, 300 s for entries without a time to live of their own.
    pub fn builder() -> MemoryCacheBackendBuilder {
        MemoryCacheBackendBuilder::new()
    }

    /// How many keys are stored, expired ones that no write has taken out yet included.
    pub fn len(&self) -> usize {
        self.cache.len()
    }

    /// Whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.cache.is_empty()
    }

    /// What the cache has done so far that this is over. [`stats`](CacheBackend::stats) has it too.
    pub fn cache_stats(&self) -> Stats {
        self.cache.stats()
    }

    /// An integer that increments have come to, as the codec reads it.
    #[inline]
    fn counted(&self, integer: i64, key: &str) -> Value {
        match &self.codec {
            Some(codec) => codec.found(key, Value::integer(integer)),
            None => Value::integer(integer),
        }
    }

    /// The same, to be stored.
    fn counter(&self, integer: i64, key: &str) -> Stored {
        match Counter::new(integer) {
            Some(counter) => Stored::Counter(counter),
            None => Stored::Value(self.counted(integer, key)),
        }
    }

    fn clear(&self) {
        self.cache.clear();
        self.changed_versions();
        if let Some(responses) = &self.responses {
            responses.cache.clear();
        }
    }

    /// Something was written under a key.
    #[inline]
    fn wrote(&self, key: &str) {
        if tag::is_reserved(key) {
            self.changed_versions();
        }
    }

    #[cold]
    fn changed_versions(&self) {
        if let Some(changes) = &self.tag_changes {
            changes.changed();
        }
    }

    #[inline]
    fn is_closed(&self) -> bool {
        // Relaxed: a call beside `close` may come before it.
        self.closed.load(Ordering::Relaxed)
    }

    /// Does a call's work, unless the backend has been closed.
    #[inline]
    fn call<'a, T>(
        &self,
        operation: Operation,
        key: Option<&str>,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> BackendFuture<'a, T> {
        let answer = if self.is_closed() {
            Err(Error::closed())
        } else {
            work()
        };
        match answer {
            Ok(answer) => BackendFuture::ready(Ok(answer)),
            Err(error) => {
                self.counts.failed(operation, &error);
                BackendFuture::ready(Err(error.during(operation.in_errors(), key)))
            }
        }
    }

    /// A value as it is kept: what it is, or encoded, and then with the codec that reads it.
    #[inline]
    fn kept(&self, key: &str, value: Value) -> Result<Stored, Error> {
        let kept = match &self.codec {
            Some(codec) => codec.found(key, codec.to_stored(key, &value)?),
            None => value.unread(),
        };
        Ok(Stored::Value(kept))
    }

    /// Shows the live value under a key.
    #[inline]
    fn read<R>(&self, key: &str, mut read: impl FnMut(&Value) -> R) -> Option<R> {
        loop {
            let shown = self
                .cache
                .get_briefly(key, |stored| stored.show(&mut read))?;
            match shown {
                Shown::Value(answer) => return Some(answer),
                Shown::Integer(integer) => return Some(read(&self.counted(integer, key))),
                Shown::Dead => {
                    self.counts.aside(1, 0);
                    thread::yield_now();
                }
            }
        }
    }

    /// As [`read`](Self::read), of a key whose look is counted elsewhere.
    #[cold]
    fn read_aside(&self, key: &str) -> Option<Value> {
        let value = self.read(key, Value::clone);
        let found = usize::from(value.is_some());
        self.counts.aside(found, 1 - found);
        value
    }

    /// Counts a call about one key that succeeded.
    fn found(&self, operation: Operation, found: bool) {
        let found = usize::from(found);
        self.counts.call(operation, found, 1 - found);
    }

    /// Adds to a live counter's cell, if there is one.
    #[inline]
    fn add_in_place(&self, key: &str, by: i64) -> Option<Added> {
        let added = self.cache.get_briefly(key, |stored| match stored {
            Stored::Counter(counter) => counter.add(by),
            Stored::Value(_) => Added::TooLarge,
        });
        match added {
            Some(Added::Sum(sum)) => {
                self.counts.in_place();
                if !in_band(sum) {
                    self.move_out(key);
                }
            }
            Some(_) => self.counts.aside(1, 0),
            None => self.counts.aside(0, 1),
        }
        added
    }

    fn add(&self, key: &str, by: i64, ttl: Ttl) -> Result<i64, Error> {
        loop {
            match self.add_in_place(key, by) {
                Some(Added::Sum(sum)) => return Ok(sum),
                // The entry that replaces it is on its way.
                Some(Added::Dead) => thread::yield_now(),
                Some(Added::TooLarge) | None => {
                    if let Some(sum) = self.add_slow(key, by, ttl) {
                        if sum.is_ok() {
                            self.counts.call(Operation::Incr, 0, 0);
                        }
                        return sum;
                    }
                }
            }
        }
    }

    /// Adds by replacing the entry. `None` if the entry is a dead counter: the entry that replaces it is on its way.
    #[cold]
    fn add_slow(&self, key: &str, by: i64, ttl: Ttl) -> Option<Result<i64, Error>> {
        let mut answer = None;
        self.cache.update(key.into(), |stored| {
            let (sum, update) = match stored {
                None => (Ok(by), Update::SetWithTtl(self.counter(by, key), ttl)),
                Some(Stored::Value(value)) => match value.plus(by) {
                    Ok(sum) => (Ok(sum), Update::Set(self.counter(sum, key))),
                    Err(error) => (Err(error), Update::Keep),
                },
                Some(Stored::Counter(counter)) => {
                    let Some(old) = counter.kill() else {
                        answer = None;
                        return Update::Keep;
                    };
                    let sum = Value::integer(old).plus(by);
                    // Its cell is dead now, so it needs a new one even if it keeps its value.
                    let next = *sum.as_ref().unwrap_or(&old);
                    (sum, Update::Set(self.counter(next, key)))
                }
            };
            answer = Some(sum);
            update
        });
        answer
    }

    /// Moves a counter that has grown large out of its cell.
    #[cold]
    fn move_out(&self, key: &str) {
        self.cache.update(key.into(), |stored| match stored {
            Some(Stored::Counter(counter)) => match counter.kill() {
                Some(value) => Update::Set(self.counter(value, key)),
                None => Update::Keep,
            },
            _ => Update::Keep,
        });
    }

    fn replace(
        &self,
        key: &str,
        expected: Option<&Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> Result<bool, Error> {
        let new = self.kept(key, new)?;
        if let Some(done) = self.exchange(key, expected, &new, ttl) {
            return Ok(done);
        }
        let mut same = false;
        self.cache.update(key.into(), |stored| {
            same = match (stored, expected) {
                (None, None) => true,
                (Some(Stored::Value(value)), Some(expected)) => value.is_same(expected),
                (Some(Stored::Counter(counter)), Some(expected)) => expected
                    .bare_integer()
                    .is_some_and(|value| counter.kill_if(value)),
                _ => false,
            };
            let stored = || new.clone();
            match (same, ttl, expected) {
                (false, ..) => Update::Keep,
                (true, Some(ttl), _) => Update::SetWithTtl(stored(), ttl),
                (true, None, Some(_)) => Update::Set(stored()),
                (true, None, None) => Update::SetWithTtl(stored(), Ttl::Never),
            }
        });
        Ok(same)
    }

    /// Replaces one integer by another in a counter's cell, if it is a counter.
    #[inline]
    fn exchange(
        &self,
        key: &str,
        expected: Option<&Value>,
        new: &Stored,
        ttl: Option<Ttl>,
    ) -> Option<bool> {
        let Stored::Value(new) = new else {
            return None;
        };
        let (expected, new) = (expected?.bare_integer()?, new.bare_integer()?);
        if ttl.is_some() || !in_band(new) {
            return None;
        }
        let exchanged = self.cache.get_briefly(key, |stored| match stored {
            Stored::Counter(counter) => Some(counter.exchange(expected, new)),
            Stored::Value(_) => None,
        });
        let found = usize::from(exchanged.is_some());
        self.counts.aside(found, 1 - found);
        exchanged.unwrap_or(Some(false))
    }
}

impl CacheBackend for MemoryCacheBackend {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.call(Operation::Get, Some(key), || {
            Ok(self.read(key, Value::clone))
        })
    }

    #[inline]
    fn read_now(&self, key: &str, read: &mut (dyn FnMut(&Value) + Send)) -> bool {
        if self.is_closed() {
            return false;
        }
        self.read(key, read);
        true
    }

    #[inline]
    fn incr_now(&self, key: &str, by: i64, _: Ttl) -> Option<i64> {
        if self.is_closed() {
            return None;
        }
        match self.add_in_place(key, by) {
            Some(Added::Sum(sum)) => Some(sum),
            _ => None,
        }
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.call(Operation::Set, Some(key), || {
            let stored = self.kept(key, value)?;
            self.cache.insert_with_ttl(key.into(), stored, ttl);
            self.wrote(key);
            self.counts.call(Operation::Set, 0, 0);
            Ok(())
        })
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.call(Operation::Delete, Some(key), || {
            let removed = self.cache.remove(key);
            self.wrote(key);
            self.found(Operation::Delete, removed);
            Ok(removed)
        })
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.call(Operation::Flush, None, || {
            self.clear();
            self.counts.call(Operation::Flush, 0, 0);
            Ok(())
        })
    }

    #[inline]
    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.call(Operation::Incr, Some(key), || self.add(key, by, ttl))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.call(Operation::CompareAndSet, Some(key), || {
            let replaced = self.replace(key, expected, new, ttl)?;
            self.wrote(key);
            self.found(Operation::CompareAndSet, replaced);
            Ok(replaced)
        })
    }

    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        self.call(Operation::GetMany, None, || {
            let found = self.cache.get_many(keys.iter().copied());
            let hits = found.iter().flatten().count();
            self.counts.aside(hits, keys.len() - hits);
            let values =
                found
                    .into_iter()
                    .zip(keys)
                    .map(|(stored, key)| match stored?.show(Value::clone) {
                        Shown::Value(value) => Some(value),
                        Shown::Integer(integer) => Some(self.counted(integer, key)),
                        Shown::Dead => self.read_aside(key),
                    });
            let values: Vec<Option<Value>> = values.collect();
            let hits = values.iter().flatten().count();
            self.counts
                .call(Operation::GetMany, hits, keys.len() - hits);
            Ok(values)
        })
    }

    fn set_values<'a>(&'a self, entries: Vec<(&'a str, Value)>, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.call(Operation::SetMany, None, || {
            for (key, value) in entries {
                let stored = self.kept(key, value);
                let stored = stored.map_err(|error| error.during("set_many", Some(key)))?;
                self.cache.insert_with_ttl(key.into(), stored, ttl);
                self.wrote(key);
            }
            self.counts.call(Operation::SetMany, 0, 0);
            Ok(())
        })
    }

    fn delete_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, u64> {
        self.call(Operation::DeleteMany, None, || {
            let removed = keys.iter().filter(|key| self.cache.remove(**key));
            let removed = removed.count();
            keys.iter().for_each(|key| self.wrote(key));
            self.counts.call(Operation::DeleteMany, removed, 0);
            Ok(removed as u64)
        })
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.call(Operation::Ttl, Some(key), || {
            let ttl = self.cache.ttl(key);
            self.found(Operation::Ttl, ttl.is_some());
            Ok(ttl)
        })
    }

    fn default_ttl(&self) -> Ttl {
        self.default_ttl
    }

    fn codec(&self) -> Option<&Codec> {
        self.codec.as_ref()
    }

    fn is_strict(&self) -> bool {
        self.is_strict
    }

    fn load_options(&self) -> &LoadOptions {
        &self.load_options
    }

    #[inline]
    fn tag_changes(&self) -> Option<&TagChanges> {
        self.tag_changes.as_ref()
    }

    fn manual_clock(&self) -> Option<&ManualClock> {
        self.manual_clock.as_ref()
    }

    fn stats(&self) -> BackendStats {
        let mut stats = BackendStats::of(&self.flights);
        self.counts.add_to(&mut stats, || self.cache_stats());
        stats.entries = Some(self.len() as u64);
        stats
    }

    fn verify(&self) -> BackendFuture<'_, ()> {
        self.call(Operation::Verify, None, || {
            self.counts.call(Operation::Verify, 0, 0);
            Ok(())
        })
    }

    fn close(&self) -> BackendFuture<'_, ()> {
        // Relaxed: see `is_closed`.
        self.closed.store(true, Ordering::Relaxed);
        if let Some(responses) = &self.responses {
            // Relaxed: as above.
            responses.closed.store(true, Ordering::Relaxed);
        }
        self.clear();
        BackendFuture::ready(Ok(()))
    }

    fn for_responses(&self) -> Option<Arc<dyn CacheBackend>> {
        let responses = Arc::clone(self.responses.as_ref()?);
        Some(responses)
    }

    fn flights(&self) -> &Flights {
        &self.flights
    }
}

impl fmt::Debug for MemoryCacheBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCacheBackend")
            .field("len", &self.len())
            .field("max_keys", &self.cache.max_keys())
            .field("bytes", &self.bytes())
            .field("max_bytes", &self.cache.max_weight())
            .field("default_ttl", &self.default_ttl)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
