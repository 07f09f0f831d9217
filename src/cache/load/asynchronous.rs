//! Loading in async code, on any executor.

use super::call::Failure;
use super::loaded::Loaded;
use crate::cache::Cache;
use crate::error::Error;
use crate::time::Ttl;
use equivalent::Equivalent;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, Hash};

impl<K: Hash + Eq, V: Clone, S: BuildHasher> Cache<K, V, S> {
    /// As [`get_or_insert_with`](Self::get_or_insert_with), with an async loader: a hit is ready at once, and who waits for another's
    /// load is woken by it, on whatever executor.
    ///
    /// The loader runs as part of this future. So a load goes on only as long as its caller polls it: a task that holds this future and
    /// waits for the same key elsewhere without polling it waits for itself.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, it stops its loader, and one of those who wait goes on with its own.
    ///
    /// # Panics
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let cache: nori_cache::Cache<String, usize> = nori_cache::Cache::new(100);
    /// let length = cache.get_or_insert_async("four", || async { "four".len() });
    /// assert_eq!(length.await, 4);
    /// # });
    /// ```
    pub async fn get_or_insert_async<Q, F>(&self, key: &Q, load: impl FnOnce() -> F) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = V>,
    {
        match self.get(key) {
            Some(value) => value,
            None => {
                let load = async { Loaded::new(load().await) };
                self.load_async_or_panic("get_or_insert_async", key, load)
                    .await
            }
        }
    }

    /// As [`get_or_insert_async`](Self::get_or_insert_async), with a time to live for what is loaded. A zero time stores nothing.
    ///
    /// # Panics
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub async fn get_or_insert_async_with_ttl<Q, F>(
        &self,
        key: &Q,
        ttl: impl Into<Ttl>,
        load: impl FnOnce() -> F,
    ) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = V>,
    {
        match self.get(key) {
            Some(value) => value,
            None => {
                let load = async { Loaded::new(load().await).ttl(ttl) };
                self.load_async_or_panic("get_or_insert_async_with_ttl", key, load)
                    .await
            }
        }
    }

    /// As [`get_or_insert_async`](Self::get_or_insert_async), where the loader says how long what it has loaded is to live.
    ///
    /// # Panics
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub async fn get_or_insert_loaded_async<Q, F>(&self, key: &Q, load: impl FnOnce() -> F) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Loaded<V>>,
    {
        match self.get(key) {
            Some(value) => value,
            None => {
                let load = async { load().await };
                self.load_async_or_panic("get_or_insert_loaded_async", key, load)
                    .await
            }
        }
    }

    /// As [`get_or_insert_async`](Self::get_or_insert_async), with a loader that may fail.
    ///
    /// # Cancel safety
    /// As [`get_or_insert_async`](Self::get_or_insert_async).
    ///
    /// # Errors
    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with).
    ///
    /// ```
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// use std::error::Error;
    ///
    /// async fn find(user: u64) -> Result<String, Box<dyn Error>> {
    ///     if user == 42 { Ok("Ana".to_owned()) } else { Err("no such user".into()) }
    /// }
    ///
    /// let cache: nori_cache::Cache<u64, String> = nori_cache::Cache::new(100);
    /// let ana = cache.try_get_or_insert_async(&42, || find(42)).await;
    /// assert_eq!(ana.unwrap(), "Ana");
    /// let nobody = cache.try_get_or_insert_async(&7, || find(7)).await;
    /// assert_eq!(nobody.unwrap_err().to_string(), "no such user");
    /// # });
    /// ```
    pub async fn try_get_or_insert_async<Q, E, F>(
        &self,
        key: &Q,
        load: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
        F: Future<Output = Result<V, E>>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => {
                let load = async { load().await.map(Loaded::new) };
                self.try_load_async("try_get_or_insert_async", key, load)
                    .await
            }
        }
    }

    /// As [`try_get_or_insert_async`](Self::try_get_or_insert_async), with a time to live for what is loaded. A zero time stores
    /// nothing.
    ///
    /// # Errors
    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with).
    pub async fn try_get_or_insert_async_with_ttl<Q, E, F>(
        &self,
        key: &Q,
        ttl: impl Into<Ttl>,
        load: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
        F: Future<Output = Result<V, E>>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => {
                let load = async { load().await.map(|value| Loaded::new(value).ttl(ttl)) };
                self.try_load_async("try_get_or_insert_async_with_ttl", key, load)
                    .await
            }
        }
    }

    /// As [`try_get_or_insert_async`](Self::try_get_or_insert_async), where the loader says how long what it has loaded is to live.
    ///
    /// # Errors
    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with).
    pub async fn try_get_or_insert_loaded_async<Q, E, F>(
        &self,
        key: &Q,
        load: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        match self.get(key) {
            Some(value) => Ok(value),
            None => {
                let load = async { load().await };
                self.try_load_async("try_get_or_insert_loaded_async", key, load)
                    .await
            }
        }
    }

    async fn load_async_or_panic<Q>(
        &self,
        operation: &'static str,
        key: &Q,
        load: impl Future<Output = Loaded<V>>,
    ) -> V
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let loaded = self
            .load(key, async { Ok::<_, Infallible>(load.await) })
            .await;
        loaded.unwrap_or_else(|failure: Failure<Infallible>| failure.panic(operation))
    }

    async fn try_load_async<Q, E>(
        &self,
        operation: &'static str,
        key: &Q,
        load: impl Future<Output = Result<Loaded<V>, E>>,
    ) -> Result<V, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        E: From<Error>,
    {
        let loaded = self.load(key, load).await;
        loaded.map_err(|failure| failure.into_error(operation))
    }
}
