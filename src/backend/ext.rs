//! [`CacheBackendExt`]: what callers use.

use super::flights::atomic_update;
use super::load::{self, Load, Scoped, Shared};
use super::typed::{read, tags, write};
use super::{
    BackendStats, CacheBackend, Cacheable, Codec, LoadCounts, Undecodable, UpdateTtl, View,
};
use crate::error::Error;
use crate::time::Ttl;
use serde_core::{Serialize, de::DeserializeOwned};
use std::future::Future;
use std::sync::Arc;

/// Typed calls for every [`CacheBackend`], `dyn CacheBackend` too.
///
/// # Errors
/// All fail with an [`Error`] that names the operation and the key: when the store cannot be reached in time, rejects it, or has
/// been closed; writes also when the codec, which is JSON unless configured, cannot represent the value
/// ([`Error::is_encoding`]), which leaves what was stored before.
///
/// # What cannot be decoded
/// A value that is stored and cannot be read as the type that was asked for, because the type has changed, or the
/// [codec](Codec), or because somebody else wrote it, is a miss: a deployment costs hits and no errors. It is
/// [counted](Self::undecodable), told to `tracing`, and stays where it is until it is written over or expires;
/// [`get_or_load`](Self::get_or_load) loads and writes over it. Where that would hide a mistake, in tests say, reads are
/// [`strict`](Self::strict): then it is an error ([`Error::is_decoding`]).
///
/// Not so for [`incr`](Self::incr) and the updates, which are based on what is there: for them it is always an error, and the
/// value stays.
///
/// # Cancel safety
/// A write whose future is dropped has taken place or not, as a whole for each key. Nothing else is lost: a dropped
/// [`get_or_load`](Self::get_or_load) hands over to another caller, a dropped update gives up its turn and changes nothing
/// unless it was already on its way to the store.
///
/// ```
/// use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, Ttl};
/// use std::{sync::Arc, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(10_000));
/// backend.set("user:42", vec!["ana".to_owned()], Duration::from_secs(60)).await?;
/// let names: Option<Vec<String>> = backend.get("user:42").await?;
/// assert_eq!(names.unwrap(), ["ana"]);
/// assert!(backend.delete("user:42").await?);
///
/// let answer = backend
///     .get_or_load("answer", Ttl::Never, || async { "42".parse::<u64>() })
///     .await?;
/// assert_eq!(answer, 42);
/// # Ok(())
/// # }
/// ```
pub trait CacheBackendExt: CacheBackend {
    /// The value under `key`, or `None` when it is missing or expired. A hit counts as a use.
    ///
    /// A value that is in memory as a `T` is cloned; anything else is converted by way of JSON, or of the codec. What
    /// [cannot be](CacheBackendExt#what-cannot-be-decoded) is a miss.
    fn get<T>(&self, key: &str) -> impl Future<Output = Result<Option<T>, Error>> + Send
    where
        T: DeserializeOwned + Clone + Send + 'static,
    {
        read::get(self, key)
    }

    /// As [`get`](Self::get), but shares the value with the store where it is in memory as a `T`, whatever its size.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// backend.set("page", "<html>".repeat(1_000), Ttl::Never).await?;
    /// let page = backend.get_shared::<String>("page").await?.unwrap();
    /// assert_eq!(page.len(), 6_000);
    /// # Ok(())
    /// # }
    /// ```
    fn get_shared<T>(&self, key: &str) -> impl Future<Output = Result<Option<Arc<T>>, Error>> + Send
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        read::get_shared(self, key)
    }

    /// Stores a value, and replaces what was there. A zero time to live stores nothing and removes what was there.
    fn set<T>(
        &self,
        key: &str,
        value: T,
        ttl: impl Into<Ttl>,
    ) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: Serialize + Send + Sync + 'static,
    {
        write::set(self, key, value, ttl.into())
    }

    /// As [`set`](Self::set), of a value that the caller keeps: a store that keeps bytes, as Redis does, gets it without a clone.
    /// One that keeps values as they are gets a clone.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// let names = vec!["ana".to_owned(), "bo".to_owned()];
    /// backend.set_ref("names", &names, Ttl::Never).await?;
    /// backend.set_ref("first", &names[..1], Ttl::Never).await?;
    /// backend.set_ref("text", "text", Ttl::Never).await?;
    /// assert_eq!(backend.get::<Vec<String>>("first").await?.unwrap(), ["ana"]);
    /// # Ok(())
    /// # }
    /// ```
    fn set_ref<T>(
        &self,
        key: &str,
        value: &T,
        ttl: impl Into<Ttl>,
    ) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: ToOwned<Owned: Serialize + Send + Sync + 'static> + Serialize + Sync + ?Sized + 'static,
    {
        write::set_ref(self, key, value, ttl.into())
    }

    /// As [`set`](Self::set), with the backend's [`default_ttl`](CacheBackend::default_ttl): 300 s, unless configured.
    fn set_default<T>(&self, key: &str, value: T) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: Serialize + Send + Sync + 'static,
    {
        self.set(key, value, self.default_ttl())
    }

    /// As [`set`](Self::set), with these tags, by each of which it can be [removed](Self::remove_by_tag): 16 at most, of 256 bytes each
    /// at most.
    ///
    /// A removal counts if it comes after this call has begun. Where the value is made of something that may change meanwhile, a
    /// [load](super::Load::tags) knows more: there a removal counts from before the loader runs. An integer with tags is no counter.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if there are too many tags, or one is too long.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// backend.set_tagged("user:42", "ana", Ttl::Never, &["users", "team:7"]).await?;
    /// backend.set_tagged("user:43", "bo", Ttl::Never, &["users"]).await?;
    /// backend.remove_by_tag("team:7").await?;
    /// assert_eq!(backend.get::<String>("user:42").await?, None);
    /// assert_eq!(backend.get::<String>("user:43").await?.unwrap(), "bo");
    /// # Ok(())
    /// # }
    /// ```
    fn set_tagged<T>(
        &self,
        key: &str,
        value: T,
        ttl: impl Into<Ttl>,
        tags: &[&str],
    ) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: Serialize + Send + Sync + 'static,
    {
        write::set_tagged(self, key, value, ttl.into(), tags)
    }

    /// Removes all entries that were stored with this tag, in one step, however many there are: none of them, nor what a load that began
    /// before has for them, is read once this has returned. Other processes see it as they see a [`delete`](Self::delete).
    ///
    /// Entries stay in the store until they expire, are evicted or are written over: they still have a [`ttl`](Self::ttl), and
    /// [`delete`](Self::delete) says that they were there. [`docs::tags`](crate::docs::tags) says what this costs, and why nothing comes back.
    ///
    /// # Errors
    /// What the store fails with: then the entries may be there still. [`Error::is_invalid_config`] if the tag is too long.
    fn remove_by_tag(&self, tag: &str) -> impl Future<Output = Result<(), Error>> + Send {
        tags::remove(self, tag, "remove_by_tag")
    }

    /// This backend, for entries that all have this tag, and that [`clear`](View::clear) removes in one step: see
    /// [`make_namespace`](View::make_namespace).
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// let tenant = backend.namespace("tenant:7");
    /// tenant.set("7:name", "ana", Ttl::Never).await?;
    /// tenant.clear().await?;
    /// assert_eq!(backend.get::<String>("7:name").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    fn namespace(&self, tag: &str) -> View<&Self> {
        View::of(self).make_namespace(tag)
    }

    /// Removes a key, and says whether something live was there.
    fn delete(&self, key: &str) -> impl Future<Output = Result<bool, Error>> + Send {
        write::delete(self, key)
    }

    /// Removes all entries of this cache, and nothing that is not its own.
    fn flush(&self) -> impl Future<Output = Result<(), Error>> + Send {
        write::flush(self)
    }

    /// Adds one to the integer under `key`, or starts it at one; returns the sum. The time to live counts only where
    /// this creates the counter, and stays what it is at later increments.
    ///
    /// # Errors
    /// [`Error::is_wrong_type`] if what is stored is not an integer, [`Error::is_overflow`] if the sum does not fit into 64
    /// bits. Both leave the value as it was.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend};
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// let hour = Duration::from_secs(3600);
    /// assert_eq!(backend.incr("visits", hour).await?, 1);
    /// assert_eq!(backend.incr_by("visits", 41, hour).await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    fn incr(
        &self,
        key: &str,
        ttl: impl Into<Ttl>,
    ) -> impl Future<Output = Result<i64, Error>> + Send {
        self.incr_by(key, 1, ttl)
    }

    /// As [`incr`](Self::incr), by any number: a counter that this creates starts at `by`.
    fn incr_by(
        &self,
        key: &str,
        by: i64,
        ttl: impl Into<Ttl>,
    ) -> impl Future<Output = Result<i64, Error>> + Send {
        write::incr(self, key, by, ttl.into())
    }

    /// The values under `keys`, in their order: one round trip where the store has a call for it. One that cannot be decoded is a
    /// miss, and spoils only itself.
    fn get_many<T>(
        &self,
        keys: &[&str],
    ) -> impl Future<Output = Result<Vec<Option<T>>, Error>> + Send
    where
        T: DeserializeOwned + Clone + Send + 'static,
    {
        read::get_many(self, keys)
    }

    /// Stores many values with one time to live. Not atomic: on an error some may have been stored, but not if the error is
    /// that the codec cannot represent a value.
    fn set_many<'a, T>(
        &'a self,
        entries: impl IntoIterator<Item = (&'a str, T)> + Send,
        ttl: impl Into<Ttl>,
    ) -> impl Future<Output = Result<(), Error>> + Send
    where
        T: Serialize + Send + Sync + 'static,
    {
        write::set_many(self, entries, ttl.into())
    }

    /// Removes many keys, and says how many live entries that were.
    fn delete_many(&self, keys: &[&str]) -> impl Future<Output = Result<u64, Error>> + Send {
        write::delete_many(self, keys)
    }

    /// This backend with another codec than its own, for the calls that are made on what this returns.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, Codec, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// let codec = Codec::bytes();
    /// backend.with_codec(&codec).set("raw", vec![1_u8, 2, 3], Ttl::Never).await?;
    /// assert_eq!(backend.with_codec(&codec).get::<Vec<u8>>("raw").await?.unwrap(), [1, 2, 3]);
    /// assert_eq!(backend.get::<Vec<u8>>("raw").await?, None); // as JSON it is nothing
    /// # Ok(())
    /// # }
    /// ```
    fn with_codec(&self, codec: &Codec) -> View<&Self> {
        View::of(self).use_codec(codec)
    }

    /// This backend, for reads that fail at [what cannot be decoded](CacheBackendExt#what-cannot-be-decoded).
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// backend.set("text", "text", Ttl::Never).await?;
    /// assert_eq!(backend.get::<u64>("text").await?, None);
    /// assert!(backend.strict().get::<u64>("text").await.unwrap_err().is_decoding());
    /// assert_eq!(backend.undecodable().malformed, 2);
    /// # Ok(())
    /// # }
    /// ```
    fn strict(&self) -> View<&Self> {
        View::of(self).make_strict()
    }

    /// How often reads of this backend, in this process, found [what they could not
    /// decode](CacheBackendExt#what-cannot-be-decoded).
    fn undecodable(&self) -> Undecodable {
        self.flights().undecodable().snapshot()
    }

    /// What this backend has done since `previous` was taken.
    fn stats_since(&self, previous: &BackendStats) -> BackendStats {
        self.stats().since(previous)
    }

    /// How long the entry under `key` still has to live, in whole milliseconds; `None` if there is none. Does not count as a
    /// use.
    fn ttl(&self, key: &str) -> impl Future<Output = Result<Option<Ttl>, Error>> + Send {
        async move { self.value_ttl(key).await }
    }

    /// Reads, modifies and writes one key: `f` gets the value, if there is one, and its future returns the new one, which is
    /// stored and returned.
    ///
    /// Optimistic: nothing is locked while `f` runs, and it runs again if the key has changed meanwhile. Callers in one
    /// process take turns for each key, in the order they came. A `ttl` of `None` keeps what the entry has left to live;
    /// a new one gets the backend's [`default_ttl`](CacheBackend::default_ttl). Any other `ttl` starts anew. `f` may be a plain closure
    /// that returns [`std::future::ready`]. It may use the cache; if it updates its own key, it runs again, in vain. Updates
    /// that would wait for each other do not: one of them goes ahead out of turn.
    ///
    /// # Errors
    /// [`Error::is_decoding`] if what is stored cannot be decoded as a `T`, and then stays;
    /// [`Error::is_contention`] if others changed the key at every one of 256 attempts; [`Error::is_timeout`] if the turn does
    /// not come within the backend's [patience](super::Flights::patience); [`Error::is_circular`] if `f`, directly or through
    /// others, updates its own key in an update of its own key.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend};
    /// use std::future::ready;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// for name in ["ana", "bo"] {
    ///     backend
    ///         .atomic_update("names", None, |names: Option<Vec<String>>| {
    ///             let mut names = names.unwrap_or_default();
    ///             names.push(name.to_owned());
    ///             ready(names)
    ///         })
    ///         .await?;
    /// }
    /// assert_eq!(backend.get::<Vec<String>>("names").await?.unwrap(), ["ana", "bo"]);
    /// # Ok(())
    /// # }
    /// ```
    fn atomic_update<T, F, Fut>(
        &self,
        key: &str,
        ttl: impl Into<UpdateTtl>,
        mut f: F,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Cacheable,
        F: FnMut(Option<T>) -> Fut + Send,
        Fut: Future<Output = T> + Send,
    {
        self.try_atomic_update(key, ttl, move |value| {
            let next = f(value);
            async move { Ok(next.await) }
        })
    }

    /// As [`atomic_update`](Self::atomic_update), for an `f` that can fail: then the value stays as it was, and the error is
    /// returned as it is.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    ///
    /// #[derive(Debug)]
    /// enum Failed { SoldOut, Cache(nori_cache::Error) }
    /// impl From<nori_cache::Error> for Failed {
    ///     fn from(error: nori_cache::Error) -> Self { Self::Cache(error) }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// backend.set("stock", 1_u32, Ttl::Never).await?;
    /// let buy = |stock: Option<u32>| async move {
    ///     stock.unwrap_or(0).checked_sub(1).ok_or(Failed::SoldOut)
    /// };
    /// assert!(matches!(backend.try_atomic_update("stock", None, buy).await, Ok(0)));
    /// assert!(matches!(backend.try_atomic_update("stock", None, buy).await, Err(Failed::SoldOut)));
    /// # Ok(())
    /// # }
    /// ```
    fn try_atomic_update<T, E, F, Fut>(
        &self,
        key: &str,
        ttl: impl Into<UpdateTtl>,
        f: F,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Cacheable,
        E: From<Error> + Send,
        F: FnMut(Option<T>) -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        atomic_update::try_atomic_update(self, key, ttl.into().to_set(), f)
    }

    /// The value under `key`; if there is none, or one that cannot be decoded, `f` loads it and it is stored, unless the key is
    /// written meanwhile.
    ///
    /// However many callers ask for the key at a time, one of them loads, in its own task, and all get what it got. If that one
    /// is dropped or panics, another loads. A key that is set, deleted or flushed by this process during a load keeps what was
    /// written, or nothing: then the load's result is only returned, and calls that come later load afresh.
    ///
    /// A store that is down makes nobody fail: `f` runs, once for all callers in this process, and they get what it got, stored or
    /// not. This is a short form of [`load_scoped`](Self::load_scoped), which can say so, and more.
    ///
    /// A loader may load other keys, and once its own. Where loads would wait for each other, one of them goes ahead on its own:
    /// its `f` runs although another's does, and what it loads is only returned.
    ///
    /// # Errors
    /// [`Error::is_timeout`] if the load of another does not end within the backend's [patience](super::Flights::patience), a
    /// minute unless configured. A caller's own `f` has no limit: give it one. [`Error::is_circular`] if `f` comes back to its
    /// own key without end. [`Error::is_closed`]. [`Error::is_load`] if `f` fails: all callers get that error, whose [`cause`](Error::cause) is `f`'s own. It is not
    /// stored.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    /// use std::io;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// let load = || async { Err::<String, _>(io::Error::other("no such row")) };
    /// let error = backend.get_or_load("row", Ttl::Never, load).await.unwrap_err();
    /// assert_eq!(error.to_string(), r#"get_or_load "row": the loader failed: no such row"#);
    /// assert!(error.cause::<io::Error>().is_some());
    ///
    /// let load = || async { Ok::<_, io::Error>("found".to_owned()) };
    /// assert_eq!(backend.get_or_load("row", Ttl::Never, load).await?, "found");
    /// # Ok(())
    /// # }
    /// ```
    fn get_or_load<T, E, F, Fut>(
        &self,
        key: &str,
        ttl: impl Into<Ttl>,
        f: F,
    ) -> impl Future<Output = Result<T, Error>> + Send
    where
        T: Cacheable,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        let answer = load::get_or_load(self, key, ttl.into(), f);
        async move { Ok(answer.await?.into_value()) }
    }

    /// A load of this key: [`Load`] is told how it goes (for how long, with what if the source is down or slow) and what loads.
    ///
    /// It can go on in the background, where it needs the backend for as long as it takes, so this is a call of the `Arc` that the
    /// backend is in, and the loader owns what it uses. [`load_scoped`](Self::load_scoped) does without.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend};
    /// use std::{sync::Arc, time::Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), String> {
    /// let backend = Arc::new(MemoryCacheBackend::new(10));
    /// let hour = Duration::from_secs(3600);
    /// let load = |_| async { Err::<u64, String>("the source is down".to_owned()) };
    /// let error = backend.load("n").ttl(hour).fail_safe(24 * hour).or_load(load).await;
    /// assert_eq!(error.unwrap_err(), "the source is down");
    ///
    /// let load = |_| async { Ok::<u64, String>(42) };
    /// assert_eq!(backend.load("n").ttl(hour).fail_safe(24 * hour).or_load(load).await?, 42);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A loader that borrows does not compile:
    ///
    /// ```compile_fail,E0597
    /// use nori_cache::{CacheBackendExt, Error, MemoryCacheBackend};
    /// use std::sync::Arc;
    ///
    /// # async fn example() -> Result<(), Error> {
    /// let backend = Arc::new(MemoryCacheBackend::new(10));
    /// let name = String::from("ana");
    /// let borrowed = &name;
    /// let load = move |_| async move { Ok::<_, Error>(borrowed.len()) };
    /// backend.load("length").or_load(load).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    fn load<'a>(self: &'a Arc<Self>, key: &'a str) -> Load<'a, Shared<'a, Self>> {
        Load::new(Shared(self), key)
    }

    /// As [`load`](Self::load), but nothing goes on in the background: the caller waits for all of it, and the loader may borrow.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, Error, MemoryCacheBackend};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// let name = String::from("ana");
    /// let load = |_| async { Ok::<_, Error>(name.len()) };
    /// assert_eq!(backend.load_scoped("length").or_load(load).await?, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// What needs a background is not there:
    ///
    /// ```compile_fail,E0599
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend};
    ///
    /// let backend = MemoryCacheBackend::new(10);
    /// let load = backend.load_scoped("n").eager_refresh(0.8);
    /// ```
    #[inline]
    fn load_scoped<'a>(&'a self, key: &'a str) -> Load<'a, Scoped<'a, Self>> {
        Load::new(Scoped(self), key)
    }

    /// What has become of the loads of this backend, in this process.
    fn load_counts(&self) -> LoadCounts {
        self.flights().load_counts()
    }

    /// The values under `keys`, in their order; those that are missing, or cannot be decoded, are loaded with one call of `f`, which
    /// gets each of them once and returns pairs of key and value: a map, say. A key that it does not return is `None`, and nothing is
    /// stored for it. What it returns beyond the keys that it was given is dropped.
    ///
    /// For each key all is as for [`get_or_load`](Self::get_or_load), callers of which it shares its loads with. A key that another
    /// loads is not given to `f`: when `f` is done and what it brought is stored, that other's value is waited for. If the other
    /// gives up, or has nothing for the key, `f` is called once more, for what is missing by then. On Redis this takes one round
    /// trip if all is there, and three if not, besides the loader's.
    ///
    /// While the store is down, what is missing is loaded all the same, once for all who ask, and is returned and not stored. Where the
    /// backend is [`strict`](Self::strict), the store's error is returned instead.
    ///
    /// # Errors
    /// As [`get_or_load`](Self::get_or_load), where any of the keys has one; [`Error::is_overloaded`] where the backend has a limit for
    /// loads and too many wait already. A value that cannot be represented is an error, and what else was loaded is stored.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    /// use std::collections::HashMap;
    /// use std::io;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::new(10);
    /// backend.set("user:1", "ana".to_owned(), Ttl::Never).await?;
    /// let names = backend
    ///     .get_or_load_many(&["user:1", "user:2", "user:3"], Ttl::Never, |missing| async move {
    ///         assert_eq!(missing, ["user:2", "user:3"]);
    ///         Ok::<_, io::Error>(HashMap::from([("user:2", "bo".to_owned())]))
    ///     })
    ///     .await?;
    /// assert_eq!(names, [Some("ana".to_owned()), Some("bo".to_owned()), None]);
    /// # Ok(())
    /// # }
    /// ```
    fn get_or_load_many<'k, T, K, I, E, F, Fut>(
        &self,
        keys: &[&'k str],
        ttl: impl Into<Ttl>,
        f: F,
    ) -> impl Future<Output = Result<Vec<Option<T>>, Error>> + Send
    where
        T: Cacheable,
        K: AsRef<str> + Send,
        I: IntoIterator<Item = (K, T)>,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
        F: FnMut(Vec<&'k str>) -> Fut + Send,
        Fut: Future<Output = Result<I, E>> + Send,
    {
        load::get_or_load_many(self, keys, ttl.into(), f)
    }
}

impl<B: CacheBackend + ?Sized> CacheBackendExt for B {}
