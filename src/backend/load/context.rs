//! [`LoadContext`]: what a loader gets.

use crate::backend::kept::Meta;
use crate::backend::tag::Tag;
use crate::sync::Mutex;
use crate::time::Ttl;
use std::fmt;
use std::sync::Arc;

/// What a loader gets to know, and may decide.
///
/// ```
/// use nori_cache::{CacheBackendExt, Error, LoadContext, MemoryCacheBackend};
/// use std::{sync::Arc, time::Duration};
///
/// # struct Api;
/// # struct Response { is_same: bool, etag: String, body: String }
/// # impl Api {
/// #     async fn get(&self, _: &str, _: Option<&str>) -> Result<Response, Error> {
/// #         Ok(Response { is_same: false, etag: "\"1\"".into(), body: "page".into() })
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let api = Arc::new(Api);
/// let backend = Arc::new(MemoryCacheBackend::new(10));
/// let load = move |cx: LoadContext<String>| async move {
///     let response = api.get("/page", cx.validator()).await?;
///     if response.is_same
///         && let Some(page) = cx.not_modified()
///     {
///         return Ok(page); // which counts as fresh again
///     }
///     cx.validator_is(response.etag);
///     Ok::<_, Error>(response.body)
/// };
/// let hour = Duration::from_secs(3600);
/// let page = backend.load("page").ttl(hour).fail_safe(24 * hour).or_load(load).await?;
/// assert_eq!(page, "page");
/// # Ok(())
/// # }
/// ```
pub struct LoadContext<T> {
    shared: Arc<Inner<T>>,
}

struct Inner<T> {
    stale: Option<T>,
    meta: Option<Meta>,
    effects: Mutex<Effects>,
}

/// What a loader has decided.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) ttl: Option<Ttl>,
    pub(super) validator: Option<Box<str>>,
    pub(super) is_not_cached: bool,
    pub(super) is_not_modified: bool,
}

impl<T> LoadContext<T> {
    pub(super) fn new(stale: Option<T>, meta: Option<Meta>) -> Self {
        let effects = Mutex::default();
        Self {
            shared: Arc::new(Inner {
                stale,
                meta,
                effects,
            }),
        }
    }

    /// The same, to see what became of it.
    pub(super) fn handle(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }

    pub(super) fn take_effects(&self) -> Effects {
        std::mem::take(&mut *self.shared.effects.lock())
    }

    pub(super) fn meta(&self) -> Option<&Meta> {
        self.shared.meta.as_ref()
    }

    /// The value that has expired, or is about to, if there is one.
    pub fn stale(&self) -> Option<&T> {
        self.shared.stale.as_ref()
    }

    /// The validator that the [stale value](Self::stale) was stored with: an ETag, say, to ask the source whether it has changed.
    pub fn validator(&self) -> Option<&str> {
        // Without the value it is of no use.
        self.stale()?;
        self.meta()?.validator.as_deref()
    }

    /// The tags that the stale value was stored with.
    pub fn stale_tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.meta().map_or(&[][..], |meta| &meta.tags);
        tags.iter().map(Tag::name)
    }

    /// How long what is loaded is fresh, in place of the load's own time to live. Zero: it is not stored.
    pub fn ttl(&self, ttl: impl Into<Ttl>) {
        let ttl = Some(ttl.into());
        self.shared.effects.lock().ttl = ttl;
    }

    /// Stores this validator with what is loaded, for the next loader. Of 1024 bytes at most, or the load fails.
    pub fn validator_is(&self, validator: impl Into<String>) {
        let validator = Some(validator.into().into_boxed_str());
        self.shared.effects.lock().validator = validator;
    }

    /// What is loaded is only returned, to all who wait. What is stored stays.
    pub fn not_cached(&self) {
        self.shared.effects.lock().is_not_cached = true;
    }
}

impl<T: Clone> LoadContext<T> {
    /// The stale value, to be returned: it has not changed at the source, and is stored as if it had been loaded now, with the
    /// validator that it has. `None` if there is none.
    #[must_use = "the loader is to return it"]
    pub fn not_modified(&self) -> Option<T> {
        let stale = self.stale()?.clone();
        self.shared.effects.lock().is_not_modified = true;
        Some(stale)
    }
}

impl<T> fmt::Debug for LoadContext<T> {
    /// Says nothing of the value: it may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadContext")
            .field("has_stale", &self.stale().is_some())
            .field("validator", &self.validator())
            .finish_non_exhaustive()
    }
}
