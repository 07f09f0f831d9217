//! `async` functions, over a backend.
//!
//! [`get_or_load`] wants an error that can be shared with all who wait, and returns the library's. A function's own
//! error comes back as it is by another way: the caller whose call it was keeps it beside the load. Those who waited for that call get
//! a clone, if the error can be cloned. If not, they ask again, so that one of them calls and the others wait for that; and who has
//! waited for [`PATIENT_CALLS`] calls that failed makes its own, however many others do.

use super::Returned;
use super::event;
use crate::backend::{Answer, CacheBackend, Cacheable, get_or_load};
use crate::error::Error;
use crate::time::Ttl;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
#[cfg(feature = "global")]
use std::sync::Arc;

/// A caller waits for no more calls that fail than this, if it gets no clones of their errors.
const PATIENT_CALLS: usize = 3;

/// The backend of the process, unless the environment asks for what cannot be built.
#[cfg(feature = "global")]
pub fn process_backend() -> Option<Arc<dyn CacheBackend>> {
    let backend = crate::global::get_backend();
    backend.inspect_err(event::cache_failed).ok()
}

/// Finds the backend in whatever holds it, by its method: an `Arc<dyn CacheBackend>`, a reference, the thing itself.
pub trait Backend: CacheBackend {
    /// The backend.
    fn __nori_cache_backend(&self) -> &Self {
        self
    }
}

impl<B: CacheBackend + ?Sized> Backend for B {}

/// The kind of [`Returned`] types that are results whose errors can be cloned.
pub trait SharedResultKind {
    /// What such a function is called by.
    fn __nori_cache_kind(&self) -> Results<Share> {
        Results(PhantomData)
    }
}

/// The kind of the other results.
pub trait ResultKind {
    /// What such a function is called by.
    fn __nori_cache_kind(&self) -> Results<Keep> {
        Results(PhantomData)
    }
}

/// The kind of all the rest.
pub trait ValueKind {
    /// What such a function is called by.
    fn __nori_cache_kind(&self) -> Values {
        Values
    }
}

// A method of what has more references is found first, by those who ask a `&&&Returned`.
impl<T, E: Clone + Send + Sync + 'static> SharedResultKind for &&Returned<Result<T, E>> {}
impl<T, E> ResultKind for &Returned<Result<T, E>> {}
impl<R> ValueKind for Returned<R> {}

/// What becomes of a call's error, for those who waited for the call.
pub trait ErrorsOfOthers<E> {
    /// What they get to see.
    type Note: Send + Sync + 'static;

    /// What the caller leaves for them.
    fn note(error: &E) -> Self::Note;
    /// The error, if they can have it.
    fn error(note: &Self::Note) -> Option<E>;
}

/// They get clones.
#[derive(Debug)]
pub struct Share;

impl<E: Clone + Send + Sync + 'static> ErrorsOfOthers<E> for Share {
    type Note = E;

    fn note(error: &E) -> E {
        error.clone()
    }

    fn error(note: &E) -> Option<E> {
        Some(note.clone())
    }
}

/// The caller keeps it.
#[derive(Debug)]
pub struct Keep;

impl<E> ErrorsOfOthers<E> for Keep {
    type Note = ();

    fn note(_: &E) {}

    fn error(_: &()) -> Option<E> {
        None
    }
}

/// Calls functions that return results.
#[derive(Debug)]
pub struct Results<O>(PhantomData<O>);

/// Calls functions that return anything else.
#[derive(Debug)]
pub struct Values;

impl<O> Results<O> {
    /// What the function returned for `key`, or returns now. Errors are not stored.
    pub async fn call<B, T, E, F, Fut>(
        self,
        backend: Option<&B>,
        key: &str,
        ttl: Option<Ttl>,
        call: F,
    ) -> Result<T, E>
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
        E: Send,
        O: ErrorsOfOthers<E>,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        let mut call = Some(call);
        if let Some(backend) = backend {
            let ttl = ttl.unwrap_or_else(|| backend.default_ttl());
            for _ in 0..PATIENT_CALLS {
                match Self::through(backend, key, ttl, &mut call).await {
                    Ended::Answered(answer) => return answer,
                    Ended::OtherFailed => {}
                    Ended::CacheFailed => break,
                }
            }
        }
        match call {
            Some(call) => call().await,
            None => unreachable!("a call that was made has answered"),
        }
    }

    /// One attempt. Takes the call if it makes it.
    async fn through<B, T, E, F, Fut>(
        backend: &B,
        key: &str,
        ttl: Ttl,
        call: &mut Option<F>,
    ) -> Ended<T, E>
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
        E: Send,
        O: ErrorsOfOthers<E>,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        let mut own = None;
        let kept = &mut own;
        let load = async move || {
            let Some(call) = call.take() else {
                unreachable!("one load calls once, and who has called loads no more")
            };
            let answer = call().await;
            let for_others = match &answer {
                Ok(value) => Ok(value.clone()),
                Err(error) => Err(Failed(O::note(error))),
            };
            *kept = Some(answer);
            for_others
        };
        let loaded = get_or_load::<B, T, _, _, _>(backend, key, ttl, load).await;
        if let Some(error) = loaded.as_ref().ok().and_then(Answer::store_error) {
            event::cache_failed(error);
        }
        let failed = |error: &Error| {
            let failed = error.cause::<Failed<O::Note>>()?;
            Some(O::error(&failed.0))
        };
        match (own, loaded) {
            (Some(answer), loaded) => {
                // The function has answered, whether or not that could be stored.
                if let Some(error) = loaded.err().filter(|error| failed(error).is_none()) {
                    event::cache_failed(&error);
                }
                Ended::Answered(answer)
            }
            (None, Ok(answer)) => Ended::Answered(Ok(answer.into_value())),
            (None, Err(error)) => match failed(&error) {
                Some(Some(error)) => Ended::Answered(Err(error)),
                Some(None) => Ended::OtherFailed,
                None => {
                    event::cache_failed(&error);
                    Ended::CacheFailed
                }
            },
        }
    }
}

impl Values {
    /// What the function returned for `key`, or returns now.
    pub async fn call<B, T, F, Fut>(
        self,
        backend: Option<&B>,
        key: &str,
        ttl: Option<Ttl>,
        call: F,
    ) -> T
    where
        B: CacheBackend + ?Sized,
        T: Cacheable,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = T> + Send,
    {
        let call = async move || Ok::<T, Infallible>(call().await);
        let results = Results::<Keep>(PhantomData);
        let Ok(value) = results.call(backend, key, ttl, call).await;
        value
    }
}

/// How one attempt to go through the cache ended.
enum Ended<T, E> {
    /// With what was stored, or with what a call returned: this caller's own, or another's.
    Answered(Result<T, E>),
    /// Another's call failed, with an error that this caller cannot have. It has not called.
    OtherFailed,
    /// The cache failed. This caller has not called.
    CacheFailed,
}

/// What a load fails with: a function's error, as far as those who wait can have it.
struct Failed<N>(N);

impl<N> fmt::Debug for Failed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Failed")
    }
}

impl<N> fmt::Display for Failed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the function failed")
    }
}

impl<N> std::error::Error for Failed<N> {}
