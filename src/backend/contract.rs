//! [`CacheBackend`]: what a store must be able to do.

use super::load::{self, LoadOptions};
use super::{BackendFuture, BackendStats, Codec, Flights, Leases, TagChanges, Value};
use crate::time::{ManualClock, Ttl};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What `set_default` and the like use where nothing else is configured.
pub(crate) const DEFAULT_TTL: Ttl = Ttl::After(Duration::from_secs(300));

/// A store that the whole caching layer can work on: string keys, [`Value`]s, a time to live for each entry.
///
/// This is the side that a *store* implements; callers use [`CacheBackendExt`](super::CacheBackendExt), which every backend
/// has and which adds types, single flight and updates. The methods here go around that bookkeeping: what is removed with
/// [`delete_value`](Self::delete_value) while someone loads the key may come back when the load ends.
///
/// A backend may do its work when the method is called or when the future is polled, whichever suits it, and return
/// [`BackendFuture::ready`] where it need not wait. The `conformance` feature has a test suite for implementations.
///
/// # Cancel safety
/// No future here leaves the store broken when it is dropped: a write that was on its way either takes place or not, as a
/// whole for each key, and which of the two is not known. In memory, writes have taken place when the method returns.
///
/// # Errors
/// Each method fails with an [`Error`](crate::Error) that names the operation and the key
/// ([`Error::during`](crate::Error::during)). A store that is down is an error, never a miss.
///
/// ```
/// use nori_cache::{BackendFuture, CacheBackend, CacheBackendExt, Flights, Ttl, Value};
/// use std::{collections::HashMap, sync::Mutex};
///
/// /// A map that never forgets: times to live are not its thing.
/// #[derive(Debug, Default)]
/// struct Forever {
///     map: Mutex<HashMap<String, Value>>,
///     flights: Flights,
/// }
///
/// impl CacheBackend for Forever {
///     fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
///         BackendFuture::ready(Ok(self.map.lock().unwrap().get(key).cloned()))
///     }
///     fn set_value<'a>(&'a self, key: &'a str, value: Value, _: Ttl) -> BackendFuture<'a, ()> {
///         self.map.lock().unwrap().insert(key.to_owned(), value);
///         BackendFuture::ready(Ok(()))
///     }
///     fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
///         BackendFuture::ready(Ok(self.map.lock().unwrap().remove(key).is_some()))
///     }
///     fn flush_values(&self) -> BackendFuture<'_, ()> {
///         self.map.lock().unwrap().clear();
///         BackendFuture::ready(Ok(()))
///     }
///     fn incr_value<'a>(&'a self, key: &'a str, by: i64, _: Ttl) -> BackendFuture<'a, i64> {
///         let mut map = self.map.lock().unwrap();
///         let sum = match map.get(key) {
///             Some(value) => value.plus(by).map_err(|error| error.during("incr", Some(key))),
///             None => Ok(by),
///         };
///         if let Ok(sum) = sum {
///             map.insert(key.to_owned(), Value::integer(sum));
///         }
///         BackendFuture::ready(sum)
///     }
///     fn compare_and_set<'a>(
///         &'a self,
///         key: &'a str,
///         expected: Option<&'a Value>,
///         new: Value,
///         _: Option<Ttl>,
///     ) -> BackendFuture<'a, bool> {
///         let mut map = self.map.lock().unwrap();
///         let same = match (map.get(key), expected) {
///             (Some(current), Some(expected)) => current.is_same(expected),
///             (current, expected) => current.is_none() && expected.is_none(),
///         };
///         if same {
///             map.insert(key.to_owned(), new);
///         }
///         BackendFuture::ready(Ok(same))
///     }
///     fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
///         let there = self.map.lock().unwrap().contains_key(key);
///         BackendFuture::ready(Ok(there.then_some(Ttl::Never)))
///     }
///     fn flights(&self) -> &Flights {
///         &self.flights
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = Forever::default();
/// backend.set("answer", 41, Ttl::Never).await?;
/// assert_eq!(backend.incr("answer", Ttl::Never).await?, 42);
/// assert_eq!(backend.get::<u8>("answer").await?, Some(42));
/// # Ok(())
/// # }
/// ```
pub trait CacheBackend: fmt::Debug + Send + Sync {
    /// The value under `key`, or `None` when it is missing or expired. A hit counts as a use.
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>>;

    /// As [`get_value`](Self::get_value), from where all processes see it: a backend that keeps copies does not answer with one. The
    /// same as [`get_value`](Self::get_value) for all others.
    fn latest_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.get_value(key)
    }

    /// The value that was last seen under `key`, for when the store cannot be read: out of this process's memory, and without waiting.
    /// `None`, the default, if nothing is known.
    ///
    /// For backends that keep copies, and for [fail-safe](super::LoadOptions::fail_safe) alone: nobody can say whether the store still
    /// has it. Never what is known to have been written, removed, or to have expired since, in whatever way and by whomever. One that
    /// wraps another passes the other's on.
    fn last_known(&self, key: &str) -> Option<Value> {
        let _ = key;
        None
    }

    /// Shows the value under `key` to `read`, if there is one, and returns true. Returns false if looking would wait or fail: then
    /// nothing was shown, and [`get_value`](Self::get_value) will be asked.
    ///
    /// For stores in memory, which can show a value in place without cloning it. The value is no older than what
    /// [`get_value`](Self::get_value) would return. A hit counts as a use; `read` is called once at most, and is short.
    fn read_now(&self, key: &str, read: &mut (dyn FnMut(&Value) + Send)) -> bool {
        let _ = (key, read);
        false
    }

    /// As [`incr_value`](Self::incr_value), if that need not wait. `None` if it would wait or fail: then nothing was added, and
    /// [`incr_value`](Self::incr_value) will be asked. For stores in memory.
    fn incr_now(&self, key: &str, by: i64, ttl: Ttl) -> Option<i64> {
        let _ = (key, by, ttl);
        None
    }

    /// Stores a value, and replaces what was there. A zero time to live stores nothing and removes what was there.
    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()>;

    /// Removes a key, and says whether something live was there.
    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool>;

    /// Removes all entries of this cache, and nothing that is not its own.
    fn flush_values(&self) -> BackendFuture<'_, ()>;

    /// Adds to the integer under `key`, or starts it at `by`; returns the sum.
    ///
    /// `ttl` counts only where this creates the counter (zero: nothing is stored). [`Value::plus`] says what counts as an
    /// integer; anything else is an error ([`is_wrong_type`](crate::Error::is_wrong_type)) as is a sum beyond 64 bits
    /// ([`is_overflow`](crate::Error::is_overflow)), and both leave the value as it was.
    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64>;

    /// Stores `new` if the key still has the value `expected` (`None`: still has none), and says whether it did.
    ///
    /// `expected` is what [`get_value`](Self::get_value) of this backend returned, or, if the backend has a [`codec`](Self::codec), what
    /// that codec makes of a `new` that was stored: a store in memory compares with [`Value::is_same`], one elsewhere compares the bytes.
    /// A `ttl` of `None` keeps what the entry has left to live; for a key without a value it means never.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool>;

    /// [`compare_and_set`](Self::compare_and_set) of many keys, each with what is expected and what is new, and one `ttl`; says for each
    /// whether it stored, in their order. Not atomic: on an error some may have been stored. Few round trips where the store can do
    /// that.
    fn compare_and_set_many<'a>(
        &'a self,
        entries: Vec<(&'a str, Option<&'a Value>, Value)>,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, Vec<bool>> {
        BackendFuture::boxed(async move {
            let mut stored = Vec::with_capacity(entries.len());
            for (key, expected, new) in entries {
                stored.push(self.compare_and_set(key, expected, new, ttl).await?);
            }
            Ok(stored)
        })
    }

    /// The values under `keys`, in their order. One round trip where the store has a call for it.
    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        BackendFuture::boxed(async move {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                values.push(self.get_value(key).await?);
            }
            Ok(values)
        })
    }

    /// Stores many values, in order. Not atomic: on an error some may have been stored.
    fn set_values<'a>(&'a self, entries: Vec<(&'a str, Value)>, ttl: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::boxed(async move {
            for (key, value) in entries {
                self.set_value(key, value, ttl).await?;
            }
            Ok(())
        })
    }

    /// Removes many keys, and says how many live entries that were. Not atomic: on an error some may have been removed.
    fn delete_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, u64> {
        BackendFuture::boxed(async move {
            let mut deleted = 0;
            for key in keys {
                deleted += u64::from(self.delete_value(key).await?);
            }
            Ok(deleted)
        })
    }

    /// How long the entry under `key` still has to live, in whole milliseconds; `None` if there is none. Does not count as a
    /// use.
    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>>;

    /// The time to live of entries that are stored without one; 300 s unless the backend says otherwise.
    fn default_ttl(&self) -> Ttl {
        DEFAULT_TTL
    }

    /// The codec that values are stored with here. `None`, the default, if the store keeps them as it gets them, or as JSON.
    ///
    /// A store that has one says so, and passes what it is given through [`Codec::to_stored`], and what it finds through
    /// [`Codec::found`]. One that wraps another passes the other's on. Whoever calls may choose another
    /// ([`with_codec`](super::CacheBackendExt::with_codec)): then the store gets encoded values, which it keeps as they are.
    fn codec(&self) -> Option<&Codec> {
        None
    }

    /// Whether typed reads of what cannot be decoded fail. They miss unless the backend says otherwise.
    fn is_strict(&self) -> bool {
        false
    }

    /// What [loads](super::CacheBackendExt::load) of this backend do where they are not told otherwise. Plain loads unless the
    /// backend says otherwise. One that wraps another passes the other's on.
    fn load_options(&self) -> &LoadOptions {
        load::plain()
    }

    /// With what one of the processes that share the store can [load for all](super::LoadOptions::fleet_single_flight). `None`, the default,
    /// if each loads for itself. One that wraps another passes the other's on.
    fn leases(&self) -> Option<&dyn Leases> {
        None
    }

    /// Tags that every entry gets which is stored by way of this backend. None, the default: those that it is stored with, if any. One
    /// that wraps another passes the other's on.
    fn entry_tags(&self) -> &[Box<str>] {
        &[]
    }

    /// What changes when a tag is removed, if this store sees every removal, whoever removes: then a hit with tags need not look each of
    /// them up. `None`, the default: it does. One that wraps another may pass the other's on if keys there are what they are here.
    fn tag_changes(&self) -> Option<&TagChanges> {
        None
    }

    /// The clock by which entries get old that loads [keep](super::LoadOptions#what-is-kept), in tests. `None`, the default: the time of
    /// day, which processes share. One that wraps another passes the other's on.
    fn manual_clock(&self) -> Option<&ManualClock> {
        None
    }

    /// Where cached responses go that the response layer is to store here: `None`, the default, if they lie among all else.
    ///
    /// Always the same one, of which [`flush_values`](Self::flush_values) and [`close`](Self::close) of this backend take care.
    fn for_responses(&self) -> Option<Arc<dyn CacheBackend>> {
        None
    }

    /// What this backend has done so far, in this process.
    ///
    /// By default what [`flights`](Self::flights) knows: what became of loads, and what could not be decoded. A store that counts
    /// its own calls adds them; one that wraps another passes the other's on.
    fn stats(&self) -> BackendStats {
        BackendStats::of(self.flights())
    }

    /// Asks the far side whether it is there and usable: for start-up. The error holds no credentials.
    fn verify(&self) -> BackendFuture<'_, ()> {
        BackendFuture::ready(Ok(()))
    }

    /// Waits for what is under way and lets go of connections. Every later call fails with
    /// [`is_closed`](crate::Error::is_closed), a second `close` does nothing.
    fn close(&self) -> BackendFuture<'_, ()> {
        BackendFuture::ready(Ok(()))
    }

    /// The loads and updates under way on this backend: a field that starts as [`Flights::default`], always the same one.
    fn flights(&self) -> &Flights;
}
