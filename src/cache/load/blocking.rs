//! Loading on a thread.

use super::call::Failure;
use super::loaded::Loaded;
use crate::cache::Cache;
use crate::error::Error;
use crate::flights::block_on;
use crate::time::Ttl;
use equivalent::Equivalent;
use std::convert::Infallible;
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq, V: Clone, S: BuildHasher> Cache<K, V, S> {
    /// A clone of the value under `key`; if there is none, `load` makes it and it is stored with the cache's time to live.
    ///
    /// One load for each key at a time, however many ask, in sync and in async calls: callers that come while it runs wait, and get
    /// clones of its value. If `load` panics, that reaches its own caller alone, and one of those who wait goes on with its own loader.
    /// An `insert`, `remove`, `update`, `clear` or `retain` during the load wins: what was loaded is returned to this caller and those
    /// who waited already, but not stored, and who asks after the write loads afresh.
    ///
    /// Counts as a use, and as a hit or a miss. The key is owned only on a miss: once while it is loaded, and once in the cache. `load`
    /// runs without a lock, may take as long as it likes and may call the cache.
    ///
    /// Callers who wait block their thread: in async code use [`get_or_insert_async`](Self::get_or_insert_async).
    ///
    /// # Panics
    /// If `load` asks for its own key, or for one whose loader waits for this one, as that would never end;
    /// [`try_get_or_insert_with`](Self::try_get_or_insert_with) returns an error instead.
    ///
    /// ```
    /// let cache: nori_cache::Cache<String, usize> = nori_cache::Cache::new(100);
    /// assert_eq!(cache.get_or_insert_with("four", || "four".len()), 4);
    /// assert_eq!(cache.get_or_insert_with("four", || unreachable!("it is there")), 4);
    /// ```
    #[inline]
    pub fn get_or_insert_with<Q>(&self, key: &Q, load: impl FnOnce() -> V) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => value,
            None => self.load_or_panic("get_or_insert_with", key, || Loaded::new(load())),
        }
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a time to live for what is loaded. A zero time stores nothing.
    ///
    /// # Panics
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let cache: nori_cache::Cache<String, u32> = nori_cache::Cache::new(100);
    /// let minute = Duration::from_secs(60);
    /// assert_eq!(cache.get_or_insert_with_ttl("key", minute, || 1), 1);
    /// ```
    #[inline]
    pub fn get_or_insert_with_ttl<Q>(
        &self,
        key: &Q,
        ttl: impl Into<Ttl>,
        load: impl FnOnce() -> V,
    ) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => value,
            None => self.load_or_panic("get_or_insert_with_ttl", key, || {
                Loaded::new(load()).ttl(ttl)
            }),
        }
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), where the loader says how long what it has loaded is to live.
    ///
    /// # Panics
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// ```
    /// use nori_cache::{Cache, Loaded};
    /// use std::time::Duration;
    ///
    /// let tokens: Cache<u32, String> = Cache::new(100);
    /// let sign_in = || Loaded::new("secret".to_owned()).ttl(Duration::from_secs(900));
    /// assert_eq!(tokens.get_or_insert_loaded(&42, sign_in), "secret");
    /// ```
    #[inline]
    pub fn get_or_insert_loaded<Q>(&self, key: &Q, load: impl FnOnce() -> Loaded<V>) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        match self.get(key) {
            Some(value) => value,
            None => self.load_or_panic("get_or_insert_loaded", key, load),
        }
    }

    /// As [`get_or_insert_with`](Self::get_or_insert_with), with a loader that may fail.
    ///
    /// # Errors
    /// What this caller's own `load` returns, as it is; nothing is stored then. Those who wait do not get it: one of them goes on with its
    /// own loader, so that each caller may have an error type of its own, without `Arc` and without `'static`. And an
    /// [`Error`] with [`is_circular`](Error::is_circular), made into an `E`, if `load` asks for its own key, or for one whose loader
    /// waits for this one.
    ///
    /// ```
    /// use nori_cache::{Cache, Error};
    ///
    /// #[derive(Debug)]
    /// enum Failed {
    ///     Number(std::num::ParseIntError),
    ///     Cache(Error),
    /// }
    ///
    /// impl From<Error> for Failed {
    ///     fn from(error: Error) -> Self {
    ///         Self::Cache(error)
    ///     }
    /// }
    ///
    /// let cache: Cache<String, u32> = Cache::new(100);
    /// let parse = |text: &str| text.parse().map_err(Failed::Number);
    /// assert_eq!(cache.try_get_or_insert_with("7", || parse("7")).unwrap(), 7);
    /// assert!(cache.try_get_or_insert_with("seven", || parse("seven")).is_err());
    /// assert_eq!(cache.len(), 1);
    /// ```
    #[inline]
    pub fn try_get_or_insert_with<Q, E>(
        &self,
        key: &Q,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.try_load("try_get_or_insert_with", key, || load().map(Loaded::new)),
        }
    }

    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with), with a time to live for what is loaded. A zero time stores nothing.
    ///
    /// # Errors
    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with).
    #[inline]
    pub fn try_get_or_insert_with_ttl<Q, E>(
        &self,
        key: &Q,
        ttl: impl Into<Ttl>,
        load: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.try_load("try_get_or_insert_with_ttl", key, || {
                load().map(|value| Loaded::new(value).ttl(ttl))
            }),
        }
    }

    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with), where the loader says how long what it has loaded is to live.
    ///
    /// # Errors
    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with).
    #[inline]
    pub fn try_get_or_insert_loaded<Q, E>(
        &self,
        key: &Q,
        load: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => self.try_load("try_get_or_insert_loaded", key, load),
        }
    }

    #[cold]
    fn load_or_panic<Q>(
        &self,
        operation: &'static str,
        key: &Q,
        load: impl FnOnce() -> Loaded<V>,
    ) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let loaded = self.load(key, async { Ok::<_, Infallible>(load()) });
        block_on(loaded).unwrap_or_else(|failure: Failure<Infallible>| failure.panic(operation))
    }

    #[cold]
    fn try_load<Q, E>(
        &self,
        operation: &'static str,
        key: &Q,
        load: impl FnOnce() -> Result<Loaded<V>, E>,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
    {
        let loaded = block_on(self.load(key, async { load() }));
        loaded.map_err(|failure| failure.into_error(operation))
    }
}
