//! [`Load`], which callers write down.

use super::call::{Call, Tags};
use super::context::LoadContext;
use super::glance::{Glance, Glancing, Rest};
use super::handle::{Handle, Scoped, SharedHandle};
use super::lead::Tell;
use super::options::LoadOptions;
use super::outcome::{Answer, Outcome};
use super::run::{certain, run, run_shared};
use crate::backend::typed::tags;
use crate::backend::{CacheBackend, Cacheable};
use crate::error::Error;
use crate::time::Ttl;
use smallvec::SmallVec;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

/// A load of one key, to be told how it goes and then what loads: from [`load`](crate::CacheBackendExt::load) or
/// [`load_scoped`](crate::CacheBackendExt::load_scoped). It does nothing until its last call is awaited.
///
/// It begins with the backend's own [`LoadOptions`], which say what each option does.
///
/// | last call | `f` returns | the caller gets |
/// |---|---|---|
/// | [`or_load`](Self::or_load) | `Result<T, E>` | `Result<T, E>` |
/// | [`or_load_optional`](Self::or_load_optional) | `Result<Option<T>, E>` | `Result<Option<T>, E>` |
/// | [`answer_or_load`](Self::answer_or_load) | `Result<T, E>` | `Result<Answer<T>, E>` |
/// | [`answer_or_load_optional`](Self::answer_or_load_optional) | `Result<Option<T>, E>` | `Result<Answer<Option<T>>, E>` |
///
/// # Errors
/// `E` is the caller's own: anything that is made from an [`Error`] and can be displayed, `anyhow::Error` and `String` among them.
/// Who calls `f` gets what it fails with, as it is. Who waits for another's `f` gets `E::from` an [`Error`] with the same text
/// ([`is_load`](Error::is_load)). What else can go wrong is an [`Error`], too:
/// [`is_timeout`](Error::is_timeout) if the load takes longer than its [hard timeout](Self::hard_timeout) or another's load does not end
/// within the backend's [patience](crate::Flights::patience); [`is_encoding`](Error::is_encoding) for a value that the codec cannot represent;
/// [`is_invalid_config`](Error::is_invalid_config) for an option that is not allowed; [`is_circular`](Error::is_circular) for a load that comes back to itself
/// without end; [`is_closed`](Error::is_closed). And if it is [`strict`](Self::strict), whatever the store fails with.
///
/// # Cancel safety
/// A load that is dropped leaves nothing behind. If others wait for it, one of them loads; what was on its way to the store is stored or
/// not. A load in the background goes on whatever becomes of its caller, and ends with its runtime.
///
/// ```
/// use nori_cache::{CacheBackend, CacheBackendExt, Error, MemoryCacheBackend};
/// use std::{sync::Arc, time::Duration};
///
/// # struct Db;
/// # impl Db { async fn user(&self, _: u64) -> Result<String, Error> { Ok("ana".to_owned()) } }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// # let db = Db;
/// const MS: Duration = Duration::from_millis(1);
/// const SECOND: Duration = Duration::from_secs(1);
/// const MINUTE: Duration = Duration::from_secs(60);
/// const HOUR: Duration = Duration::from_secs(3600);
///
/// let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(10_000));
/// let user: String = backend.load("user:42")
///     .ttl(5 * MINUTE).jitter(0.1).tags(["users"])
///     .fail_safe(1 * HOUR)
///     .soft_timeout(100 * MS).hard_timeout(2 * SECOND)
///     .eager_refresh(0.8)
///     .or_load(|cx| async move { db.user(42).await }).await?;
/// assert_eq!(user, "ana");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a load does nothing until it is told what loads, and awaited"]
pub struct Load<'a, H> {
    handle: H,
    key: &'a str,
    options: LoadOptions,
    tags: SmallVec<[&'a str; 4]>,
}

impl<'a, H: Handle> Load<'a, H> {
    #[inline]
    pub(crate) fn new(handle: H, key: &'a str) -> Self {
        let options = handle.backend().load_options().clone();
        Self {
            handle,
            key,
            options,
            tags: SmallVec::new(),
        }
    }

    /// These options in the place of the backend's.
    pub fn options(mut self, options: &LoadOptions) -> Self {
        self.options = options.clone();
        self
    }

    #[inline]
    fn with(mut self, set: impl FnOnce(LoadOptions) -> LoadOptions) -> Self {
        self.options = set(self.options);
        self
    }

    /// How long what is loaded is fresh: see [`LoadOptions::ttl`].
    #[inline]
    pub fn ttl(self, ttl: impl Into<Ttl>) -> Self {
        self.with(|options| options.ttl(ttl))
    }

    /// Shortens the time to live by a random share up to this one: see [`LoadOptions::jitter`].
    #[inline]
    pub fn jitter(self, share: f64) -> Self {
        self.with(|options| options.jitter(share))
    }

    /// Returns what has expired, for this long, when the loader fails: see [`LoadOptions::fail_safe`].
    #[inline]
    pub fn fail_safe(self, window: Duration) -> Self {
        self.with(|options| options.fail_safe(window))
    }

    /// For how long a loader that failed is not tried again: see [`LoadOptions::fail_safe_throttle`].
    #[inline]
    pub fn fail_safe_throttle(self, pause: Duration) -> Self {
        self.with(|options| options.fail_safe_throttle(pause))
    }

    /// How long the loader may take: see [`LoadOptions::hard_timeout`].
    #[inline]
    pub fn hard_timeout(self, limit: Duration) -> Self {
        self.with(|options| options.hard_timeout(limit))
    }

    /// How long it is remembered that there is no value: see [`LoadOptions::negative_ttl`].
    #[inline]
    pub fn negative_ttl(self, ttl: impl Into<Ttl>) -> Self {
        self.with(|options| options.negative_ttl(ttl))
    }

    /// How long it is remembered that the loader failed: see [`LoadOptions::cache_errors`].
    #[inline]
    pub fn cache_errors(self, pause: Duration) -> Self {
        self.with(|options| options.cache_errors(pause))
    }

    /// Loads whatever is in the store: see [`LoadOptions::skip_read`].
    #[inline]
    pub fn skip_read(self) -> Self {
        self.with(LoadOptions::skip_read)
    }

    /// Does not store what is loaded: see [`LoadOptions::skip_write`].
    #[inline]
    pub fn skip_write(self) -> Self {
        self.with(LoadOptions::skip_write)
    }

    /// Fails where the store fails: see [`LoadOptions::strict`].
    #[inline]
    pub fn strict(self) -> Self {
        self.with(LoadOptions::strict)
    }

    /// One load for all processes that share the store: see [`LoadOptions::fleet_single_flight`].
    #[inline]
    pub fn fleet_single_flight(self) -> Self {
        self.with(LoadOptions::fleet_single_flight)
    }

    /// How long after its last word a process that loads for all is taken for dead: see [`LoadOptions::fleet_lease`].
    #[inline]
    pub fn fleet_lease(self, term: Duration) -> Self {
        self.with(|options| options.fleet_lease(term))
    }

    /// Stores these tags with what is loaded, by which it can be [removed](crate::CacheBackendExt::remove_by_tag): 16 at most, of 256
    /// bytes each at most. The next loader can [see](LoadContext::stale_tags) them.
    #[inline]
    pub fn tags(mut self, tags: impl IntoIterator<Item = &'a str>) -> Self {
        self.tags = tags.into_iter().collect();
        self
    }

    fn glancing(&self, is_optional: bool, has_background: bool) -> Glancing<'_, H::Backend> {
        Glancing {
            backend: self.handle.backend(),
            key: self.key,
            options: &self.options,
            is_optional,
            has_background,
        }
    }

    /// A glance into memory, which is all that most loads come to. Unless it is a hit at first sight, `rest` is what there is.
    ///
    /// # Errors
    /// If an option or a tag is not allowed.
    #[inline(always)]
    fn hit<T>(
        &self,
        is_optional: bool,
        has_background: bool,
        rest: &mut Rest,
    ) -> Result<Option<Option<T>>, Error>
    where
        T: Cacheable,
    {
        let glancing = self.glancing(is_optional, has_background);
        let checked = self.options.check();
        match checked.and_then(|()| tags::check(glancing.backend, &self.tags)) {
            Ok(()) => Ok(glancing.hit(rest)),
            Err(error) => Err(self.call(is_optional, has_background).named(error)),
        }
    }

    fn call(&self, is_optional: bool, has_background: bool) -> Call<'_, H::Backend> {
        Call {
            backend: self.handle.backend(),
            key: self.key,
            options: &self.options,
            tags: Tags::Borrowed(&self.tags),
            operation: "load",
            error_type: None,
            is_optional,
            has_background,
        }
    }
}

/// What can go on in the background.
impl<H: SharedHandle> Load<'_, H> {
    /// Returns what has expired if the loader takes longer than this, and goes on in the background: see
    /// [`LoadOptions::soft_timeout`].
    #[inline]
    pub fn soft_timeout(self, limit: Duration) -> Self {
        self.with(|options| options.soft_timeout(limit))
    }

    /// Loads in the background once this share of an entry's fresh life is over: see [`LoadOptions::eager_refresh`].
    #[inline]
    pub fn eager_refresh(self, share: f64) -> Self {
        self.with(|options| options.eager_refresh(share))
    }

    /// Returns what has expired, for this long, and loads in the background: see [`LoadOptions::stale_while_revalidate`].
    #[inline]
    pub fn stale_while_revalidate(self, window: Duration) -> Self {
        self.with(|options| options.stale_while_revalidate(window))
    }
}

/// What others are told of a caller's own error.
fn tell<E: Display>(error: &E) -> Error {
    Error::load(error.to_string())
}

/// A loader that always has a value, as one that may have none.
macro_rules! certainly {
    ($f:ident) => {
        move |context| {
            let loading = $f(context);
            async move { loading.await.map(Some) }
        }
    };
}

/// The last calls, with these bounds on what the caller gives.
macro_rules! last_calls {
    ([$($bound:tt)*], $has_background:literal, $run:expr) => {
        /// The value under the key; if there is none that will do, `f` loads it, and it is stored, unless the key is written meanwhile.
        /// However many callers ask at a time, one of them loads.
        ///
        /// # Errors
        /// What `f` fails with; [`Load`](Self#errors) says what else.
        #[inline]
        pub fn or_load<T, E, F, Fut>(
            self,
            f: F,
        ) -> impl Future<Output = Result<T, E>> + Send
        where
            T: Cacheable,
            E: From<Error> + Display + Send $($bound)*,
            F: FnOnce(LoadContext<T>) -> Fut + Send $($bound)*,
            Fut: Future<Output = Result<T, E>> + Send $($bound)*,
        {
            async move {
                let mut rest = Rest::Nothing;
                if let Some(hit) = self.hit(false, $has_background, &mut rest)? {
                    return Ok(certain(hit));
                }
                let later = match self.glancing(false, $has_background).beyond(rest) {
                    Glance::Hit(value) | Glance::Refreshing(value) => return Ok(certain(value)),
                    glance => Box::pin(self.behind(false, glance, certainly!(f))),
                };
                Ok(certain(later.await?.into_value()))
            }
        }

        /// As [`or_load`](Self::or_load), for a loader that may find out that there is no value: `None`, which is remembered if
        /// there is a [lifetime](LoadOptions::negative_ttl) for it. If not, what was stored before is removed.
        ///
        /// # Errors
        /// As [`or_load`](Self::or_load).
        #[inline]
        pub fn or_load_optional<T, E, F, Fut>(
            self,
            f: F,
        ) -> impl Future<Output = Result<Option<T>, E>> + Send
        where
            T: Cacheable,
            E: From<Error> + Display + Send $($bound)*,
            F: FnOnce(LoadContext<T>) -> Fut + Send $($bound)*,
            Fut: Future<Output = Result<Option<T>, E>> + Send $($bound)*,
        {
            async move {
                let mut rest = Rest::Nothing;
                if let Some(hit) = self.hit(true, $has_background, &mut rest)? {
                    return Ok(hit);
                }
                let later = match self.glancing(true, $has_background).beyond(rest) {
                    Glance::Hit(value) | Glance::Refreshing(value) => return Ok(value),
                    glance => Box::pin(self.behind(true, glance, f)),
                };
                Ok(later.await?.into_value())
            }
        }

        /// As [`or_load`](Self::or_load), with what became of the load.
        ///
        /// # Errors
        /// As [`or_load`](Self::or_load).
        #[inline]
        pub fn answer_or_load<T, E, F, Fut>(
            self,
            f: F,
        ) -> impl Future<Output = Result<Answer<T>, E>> + Send
        where
            T: Cacheable,
            E: From<Error> + Display + Send $($bound)*,
            F: FnOnce(LoadContext<T>) -> Fut + Send $($bound)*,
            Fut: Future<Output = Result<T, E>> + Send $($bound)*,
        {
            async move {
                let mut rest = Rest::Nothing;
                if let Some(hit) = self.hit(false, $has_background, &mut rest)? {
                    return Ok(Answer::hit(certain(hit), &rest));
                }
                let later = match self.glancing(false, $has_background).beyond(rest) {
                    Glance::Hit(value) => return Ok(Answer::new(certain(value), Outcome::Hit)),
                    Glance::Refreshing(value) => return Ok(Answer::refreshing(certain(value))),
                    glance => Box::pin(self.behind(false, glance, certainly!(f))),
                };
                Ok(later.await?.map(certain))
            }
        }

        /// As [`or_load_optional`](Self::or_load_optional), with what became of the load.
        ///
        /// # Errors
        /// As [`or_load`](Self::or_load).
        #[inline]
        pub fn answer_or_load_optional<T, E, F, Fut>(
            self,
            f: F,
        ) -> impl Future<Output = Result<Answer<Option<T>>, E>> + Send
        where
            T: Cacheable,
            E: From<Error> + Display + Send $($bound)*,
            F: FnOnce(LoadContext<T>) -> Fut + Send $($bound)*,
            Fut: Future<Output = Result<Option<T>, E>> + Send $($bound)*,
        {
            async move {
                let mut rest = Rest::Nothing;
                if let Some(hit) = self.hit(true, $has_background, &mut rest)? {
                    return Ok(Answer::hit(hit, &rest));
                }
                let later = match self.glancing(true, $has_background).beyond(rest) {
                    Glance::Hit(value) => return Ok(Answer::new(value, Outcome::Hit)),
                    Glance::Refreshing(value) => return Ok(Answer::refreshing(value)),
                    glance => Box::pin(self.behind(true, glance, f)),
                };
                later.await
            }
        }

        /// What comes behind a glance that is no hit.
        async fn behind<T, E, F, Fut>(
            self,
            is_optional: bool,
            glance: Glance<T>,
            f: F,
        ) -> Result<Answer<Option<T>>, E>
        where
            T: Cacheable,
            E: From<Error> + Display + Send $($bound)*,
            F: FnOnce(LoadContext<T>) -> Fut + Send $($bound)*,
            Fut: Future<Output = Result<Option<T>, E>> + Send $($bound)*,
        {
            let call = self.call(is_optional, $has_background);
            ($run)(&self.handle, call, glance, f, tell::<E> as Tell<E>).await
        }
    };
}

/// A load over a reference: its caller waits for all of it, and its loader may borrow.
impl<B: CacheBackend + ?Sized> Load<'_, Scoped<'_, B>> {
    last_calls!([], false, |_, call, glance, f, tell| run(
        call, glance, f, tell
    ));
}

/// A load over an `Arc`: it may go on without its caller, so its loader owns what it uses.
impl<H: SharedHandle> Load<'_, H> {
    last_calls!([+ 'static], true, run_shared);
}
