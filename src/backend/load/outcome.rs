//! What became of a load.

use super::glance::Rest;
use crate::error::Error;

/// What a caller got, and why that.
///
/// ```
/// use nori_cache::{CacheBackendExt, Error, MemoryCacheBackend, Outcome};
/// use std::sync::Arc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Error> {
/// let backend = Arc::new(MemoryCacheBackend::new(10));
/// let load = |_| async { Ok::<_, Error>(42_u64) };
/// let answer = backend.load("answer").answer_or_load(load).await?;
/// assert!(matches!(answer.outcome(), Outcome::Loaded));
/// let answer = backend.load("answer").answer_or_load(load).await?;
/// assert!(matches!(answer.outcome(), Outcome::Hit));
/// assert_eq!(answer.into_value(), 42);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Answer<T> {
    pub(super) value: T,
    pub(super) outcome: Outcome,
    pub(super) is_refreshing: bool,
    pub(super) store_error: Option<Error>,
}

/// Where a value came from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outcome {
    /// It was in the store, and fresh.
    Hit,
    /// It was in the store and had expired, which [stale-while-revalidate](super::LoadOptions::stale_while_revalidate) allows.
    Stale,
    /// This caller's loader got it.
    Loaded,
    /// Another caller's loader got it, in this process or, with a load [for the fleet](super::LoadOptions::fleet_single_flight), in another.
    Coalesced,
    /// It was in the store and had expired, which [fail-safe](super::LoadOptions::fail_safe) allows: the load failed with this
    /// error, or one did a short while before. Or it is what was last known of a store that cannot be read: then
    /// [`store_error`](Answer::store_error) says why that is.
    FailSafe(Error),
    /// It was in the store and had expired, which fail-safe allows: the load took longer than the
    /// [soft timeout](super::LoadOptions::soft_timeout), and goes on. Or the store could not be read, or did not answer in that time, and it
    /// is what was last known of it.
    TimedOut,
}

impl Outcome {
    /// Whether the value had expired, or may have been replaced meanwhile.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Stale | Self::FailSafe(_) | Self::TimedOut)
    }
}

impl<T> Answer<T> {
    #[inline]
    pub(super) fn new(value: T, outcome: Outcome) -> Self {
        Self {
            value,
            outcome,
            is_refreshing: false,
            store_error: None,
        }
    }

    /// A hit at first sight, and what there is to say beside it.
    #[inline]
    pub(super) fn hit(value: T, beside: &Rest) -> Self {
        Self {
            is_refreshing: matches!(beside, Rest::Refreshing),
            ..Self::new(value, Outcome::Hit)
        }
    }

    /// A hit that is being refreshed.
    #[inline]
    pub(super) fn refreshing(value: T) -> Self {
        Self {
            is_refreshing: true,
            ..Self::new(value, Outcome::Hit)
        }
    }

    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }

    /// The value.
    pub fn into_value(self) -> T {
        self.value
    }

    /// Where the value came from.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether a load in the background is on its way to replace the value, this caller's or another's.
    pub fn is_refreshing(&self) -> bool {
        self.is_refreshing
    }

    /// What the store failed with, if it did: this caller could not read it, or could not store what it loaded. The value is what the
    /// loader got or, with fail-safe, what was last known.
    pub fn store_error(&self) -> Option<&Error> {
        self.store_error.as_ref()
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: f(self.value),
            outcome: self.outcome,
            is_refreshing: self.is_refreshing,
            store_error: self.store_error,
        }
    }
}
