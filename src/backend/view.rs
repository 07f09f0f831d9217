//! [`View`]: a backend as some of its callers see it.

use super::lease::{Lease, Leased, Leases};
use super::typed::{tags, write};
use super::{
    BackendFuture, BackendStats, CacheBackend, Codec, Flights, LoadOptions, TagChanges, Value, tag,
};
use crate::error::Error;
use crate::time::{ManualClock, Ttl};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// A backend with another codec, or whose reads are strict, or whose entries have a tag, for some calls or for some callers. The
/// store, its keys and the loads under way are the same.
///
/// From [`with_codec`](super::CacheBackendExt::with_codec), [`strict`](super::CacheBackendExt::strict) and
/// [`namespace`](super::CacheBackendExt::namespace), which borrow the backend; or, to be kept, from [`of`](Self::of).
///
/// ```
/// use nori_cache::{CacheBackend, CacheBackendExt, Codec, MemoryCacheBackend, Ttl, View};
/// use std::sync::Arc;
///
/// /// Images have a codec of their own.
/// struct Images(View<Arc<dyn CacheBackend>>);
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(100));
/// let images = Images(View::of(backend).use_codec(&Codec::bytes()));
/// images.0.set("logo", vec![0x89_u8, 0x50], Ttl::Never).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct View<B> {
    backend: B,
    codec: Option<Codec>,
    strict: bool,
    tags: Box<[Box<str>]>,
}

impl<B> View<B>
where
    B: Deref<Target: CacheBackend>,
{
    /// The backend as it is: an `Arc` of one, or a reference.
    pub fn of(backend: B) -> Self {
        Self {
            tags: backend.entry_tags().into(),
            backend,
            codec: None,
            strict: false,
        }
    }

    /// Writes and reads with this codec, and not with the backend's.
    pub fn use_codec(mut self, codec: &Codec) -> Self {
        self.codec = Some(codec.in_place_of(self.backend.codec()));
        self
    }

    /// What cannot be decoded is an error, and no miss.
    pub fn make_strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Gives this tag to every entry that is stored from here, so that [`clear`](Self::clear) removes these and no others.
    ///
    /// Keys stay what they are: those of two namespaces must differ. What is stored under them by others is read as well. Counters
    /// cannot have tags: an increment is an error ([`Error::is_encoding`]). A tag that is too long is an error when something is
    /// stored.
    ///
    /// ```
    /// use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, Ttl, View};
    /// use std::sync::Arc;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(100));
    /// let tenant = Arc::new(View::of(Arc::clone(&backend)).make_namespace("tenant:7"));
    /// let load = |_| async { Ok::<_, nori_cache::Error>("ana".to_owned()) };
    /// tenant.load("7:user:42").or_load(load).await?;
    /// backend.set("8:user:1", "bo", Ttl::Never).await?;
    ///
    /// tenant.clear().await?;
    /// assert_eq!(backend.get::<String>("7:user:42").await?, None);
    /// assert_eq!(backend.get::<String>("8:user:1").await?.unwrap(), "bo");
    /// # Ok(())
    /// # }
    /// ```
    pub fn make_namespace(mut self, tag: &str) -> Self {
        let mut tags = self.tags.into_vec();
        tags.push(tag.into());
        self.tags = tags.into();
        self
    }

    /// Removes all that was stored by way of this namespace, and of others with its tag, in one step, however much it is. Where this is
    /// none, it removes all entries. [`flush`](super::CacheBackendExt::flush) is the same.
    ///
    /// In a namespace of a namespace the inner one's tag counts.
    ///
    /// # Errors
    /// What the store fails with: then what there is may be there still.
    pub async fn clear(&self) -> Result<(), Error> {
        match self.tags.last() {
            Some(tag) => tags::remove(&*self.backend, tag, "clear").await,
            None => write::flush(&*self.backend).await,
        }
    }

    /// The codec for a key, if it is not the backend's. Versions of tags are the same for all views.
    fn codec_of(&self, key: &str) -> Option<&Codec> {
        self.codec.as_ref().filter(|_| !tag::is_reserved(key))
    }

    /// A value as it is to be stored.
    fn to_stored(&self, key: &str, value: Value) -> Result<Value, Error> {
        match self.codec_of(key) {
            Some(codec) => codec.to_stored(key, &value),
            None => Ok(value),
        }
    }

    /// A value that was found.
    fn found(&self, key: &str, value: Option<Value>) -> Option<Value> {
        match (self.codec_of(key), value) {
            (Some(codec), Some(value)) => Some(codec.found(key, value)),
            (_, value) => value,
        }
    }
}

/// The backend for cached responses: where this one has them, and for values of our own, which are JSON whatever the codec's format is, with all that the codec puts around it.
#[cfg(feature = "tower")]
pub(crate) fn for_responses(backend: Arc<dyn CacheBackend>) -> Arc<dyn CacheBackend> {
    let backend = backend.for_responses().unwrap_or(backend);
    match backend.codec().and_then(Codec::around_json) {
        Some(codec) => Arc::new(View::of(backend).use_codec(&codec)),
        None => backend,
    }
}

impl<B> CacheBackend for View<B>
where
    B: Deref<Target: CacheBackend> + fmt::Debug + Send + Sync,
{
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        if self.codec.is_none() {
            return self.backend.get_value(key);
        }
        BackendFuture::boxed(async move {
            let value = self.backend.get_value(key).await?;
            Ok(self.found(key, value))
        })
    }

    fn latest_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        if self.codec.is_none() {
            return self.backend.latest_value(key);
        }
        BackendFuture::boxed(async move {
            let value = self.backend.latest_value(key).await?;
            Ok(self.found(key, value))
        })
    }

    fn last_known(&self, key: &str) -> Option<Value> {
        self.found(key, self.backend.last_known(key))
    }

    fn read_now(&self, key: &str, read: &mut (dyn FnMut(&Value) + Send)) -> bool {
        self.codec.is_none() && self.backend.read_now(key, read)
    }

    fn incr_now(&self, key: &str, by: i64, ttl: Ttl) -> Option<i64> {
        if !self.tags.is_empty() {
            return None;
        }
        self.backend.incr_now(key, by, ttl)
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        match self.to_stored(key, value) {
            Ok(value) => self.backend.set_value(key, value, ttl),
            Err(error) => BackendFuture::ready(Err(error.during("set", Some(key)))),
        }
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.backend.delete_value(key)
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        if self.tags.is_empty() {
            return self.backend.flush_values();
        }
        BackendFuture::boxed(self.clear())
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        if !self.tags.is_empty() {
            let error = Error::encoding("a counter cannot have the tags of a namespace");
            return BackendFuture::ready(Err(error.during("incr", Some(key))));
        }
        self.backend.incr_value(key, by, ttl)
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        match self.to_stored(key, new) {
            Ok(new) => self.backend.compare_and_set(key, expected, new, ttl),
            Err(error) => BackendFuture::ready(Err(error.during("atomic_update", Some(key)))),
        }
    }

    fn compare_and_set_many<'a>(
        &'a self,
        entries: Vec<(&'a str, Option<&'a Value>, Value)>,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, Vec<bool>> {
        let mut stored = Vec::with_capacity(entries.len());
        for (key, expected, new) in entries {
            match self.to_stored(key, new) {
                Ok(new) => stored.push((key, expected, new)),
                Err(error) => {
                    let error = error.during("compare_and_set_many", Some(key));
                    return BackendFuture::ready(Err(error));
                }
            }
        }
        self.backend.compare_and_set_many(stored, ttl)
    }

    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        if self.codec.is_none() {
            return self.backend.get_values(keys);
        }
        BackendFuture::boxed(async move {
            let values = self.backend.get_values(keys).await?;
            let values = values.into_iter().zip(keys);
            Ok(values.map(|(value, key)| self.found(key, value)).collect())
        })
    }

    fn set_values<'a>(&'a self, entries: Vec<(&'a str, Value)>, ttl: Ttl) -> BackendFuture<'a, ()> {
        let mut stored = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match self.to_stored(key, value) {
                Ok(value) => stored.push((key, value)),
                Err(error) => {
                    return BackendFuture::ready(Err(error.during("set_many", Some(key))));
                }
            }
        }
        self.backend.set_values(stored, ttl)
    }

    fn delete_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, u64> {
        self.backend.delete_values(keys)
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.backend.value_ttl(key)
    }

    fn default_ttl(&self) -> Ttl {
        self.backend.default_ttl()
    }

    fn codec(&self) -> Option<&Codec> {
        self.codec.as_ref().or_else(|| self.backend.codec())
    }

    fn is_strict(&self) -> bool {
        self.strict || self.backend.is_strict()
    }

    fn load_options(&self) -> &LoadOptions {
        self.backend.load_options()
    }

    fn leases(&self) -> Option<&dyn Leases> {
        self.backend.leases().map(|_| self as &dyn Leases)
    }

    fn entry_tags(&self) -> &[Box<str>] {
        &self.tags
    }

    fn tag_changes(&self) -> Option<&TagChanges> {
        self.backend.tag_changes()
    }

    fn manual_clock(&self) -> Option<&ManualClock> {
        self.backend.manual_clock()
    }

    fn for_responses(&self) -> Option<Arc<dyn CacheBackend>> {
        let backend = self.backend.for_responses()?;
        let mut view = View::of(backend);
        if let Some(codec) = &self.codec {
            view = view.use_codec(codec);
        }
        Some(Arc::new(view))
    }

    fn stats(&self) -> BackendStats {
        self.backend.stats()
    }

    fn verify(&self) -> BackendFuture<'_, ()> {
        self.backend.verify()
    }

    fn close(&self) -> BackendFuture<'_, ()> {
        self.backend.close()
    }

    fn flights(&self) -> &Flights {
        self.backend.flights()
    }
}

impl<B> View<B>
where
    B: Deref<Target: CacheBackend>,
{
    /// Those of the backend, which has some if anybody asks this.
    fn inner_leases(&self) -> Result<&dyn Leases, Error> {
        let gone = || Error::rejected("the backend has no leases any more".to_owned());
        self.backend.leases().ok_or_else(gone)
    }
}

impl<B> Leases for View<B>
where
    B: Deref<Target: CacheBackend> + fmt::Debug + Send + Sync,
{
    fn take<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Value>,
        term: Duration,
    ) -> BackendFuture<'a, Leased<'a>> {
        BackendFuture::boxed(async move {
            let leased = self.inner_leases()?.take(key, expected, term).await?;
            Ok(match leased {
                Leased::Other(value) => Leased::Other(self.found(key, value)),
                leased => leased,
            })
        })
    }

    fn renew<'a>(&'a self, key: &'a str, lease: &'a Lease) -> BackendFuture<'a, bool> {
        match self.inner_leases() {
            Ok(leases) => leases.renew(key, lease),
            Err(error) => BackendFuture::ready(Err(error)),
        }
    }

    fn store_leased<'a>(
        &'a self,
        key: &'a str,
        lease: Lease,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Ttl,
    ) -> BackendFuture<'a, bool> {
        let inner = self.inner_leases();
        let new = inner.and_then(|leases| Ok((leases, self.to_stored(key, new)?)));
        match new {
            Ok((leases, new)) => leases.store_leased(key, lease, expected, new, ttl),
            Err(error) => BackendFuture::ready(Err(error.during("load", Some(key)))),
        }
    }
}

impl<B: fmt::Debug> fmt::Debug for View<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("backend", &self.backend)
            .field("codec", &self.codec)
            .field("strict", &self.strict)
            .field("tags", &self.tags)
            .finish()
    }
}
