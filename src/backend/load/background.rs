//! Loads that go on without their caller: tasks on its Tokio runtime.

use super::call::{Call, Looked, Tags};
use super::context::LoadContext;
use super::found::Purpose;
use super::handle::FlightsOf;
use super::lead::{Tell, lead};
use super::options::LoadOptions;
use super::outcome::{Answer, Outcome};
use crate::backend::flights::{Event, Joined, Leader, Permit};
use crate::backend::{CacheBackend, Cacheable, Flights, alarm};
use crate::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// A call that owns what it needs.
pub(super) struct OwnedCall<B: ?Sized> {
    backend: Arc<B>,
    key: Box<str>,
    options: LoadOptions,
    tags: Box<[Box<str>]>,
    operation: &'static str,
    error_type: Option<&'static str>,
    is_optional: bool,
}

impl<B: CacheBackend + ?Sized> OwnedCall<B> {
    pub(super) fn new(backend: Arc<B>, call: &Call<'_, B>) -> Self {
        Self {
            backend,
            key: call.key.into(),
            options: call.options.clone(),
            tags: call.tags.to_boxed(),
            operation: call.operation,
            error_type: call.error_type,
            is_optional: call.is_optional,
        }
    }

    fn call(&self) -> Call<'_, B> {
        Call {
            backend: &*self.backend,
            key: &self.key,
            options: &self.options,
            tags: Tags::Owned(&self.tags),
            operation: self.operation,
            error_type: self.error_type,
            is_optional: self.is_optional,
            has_background: true,
        }
    }
}

/// What became of a refresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refresh {
    /// It has begun, or another's is under way.
    UnderWay,
    /// Too many loads are in the background.
    Refused,
}

/// Begins to refresh a key in the background, unless somebody loads it.
///
/// # Errors
/// The loader, if there is no runtime.
pub(super) fn refresh<B, T, E, F, Fut>(
    call: &Call<'_, B>,
    backend: impl FnOnce() -> Arc<B>,
    f: F,
    tell: Tell<E>,
) -> Result<Refresh, F>
where
    B: CacheBackend + ?Sized + 'static,
    T: Cacheable,
    E: From<Error> + Send + 'static,
    F: FnOnce(LoadContext<T>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
{
    if call.flights().is_loading(call.key) {
        return Ok(Refresh::UnderWay);
    }
    let Ok(runtime) = Handle::try_current() else {
        return Err(f);
    };
    let backend = backend();
    let Some(permit) = Permit::get(FlightsOf(Arc::clone(&backend))) else {
        call.flights().tally().count(Event::Refused);
        return Ok(Refresh::Refused);
    };
    let leader = match Flights::join(FlightsOf(Arc::clone(&backend)), call.key) {
        Joined::Leads(leader) => leader,
        Joined::Follows(_) => return Ok(Refresh::UnderWay),
    };
    call.flights().tally().count(Event::Refreshed);
    let owned = OwnedCall::new(backend, call);
    runtime.spawn(async move {
        let _permit = permit;
        let how = (Purpose::Refresh, None);
        // Whoever waits has been told how it ended, and a failure is noted.
        let _ = lead(&owned.call(), leader, how, f, tell).await;
    });
    Ok(Refresh::UnderWay)
}

/// Leads a load for a caller who has something stale to go away with, when the load takes longer than this.
pub(super) async fn lead_beyond<B, T, E, F, Fut>(
    owned: OwnedCall<B>,
    leader: Leader<FlightsOf<B>>,
    looked: Looked<T>,
    soft_timeout: Duration,
    f: F,
    tell: Tell<E>,
) -> Result<Answer<Option<T>>, E>
where
    B: CacheBackend + ?Sized + 'static,
    T: Cacheable,
    E: From<Error> + Send + 'static,
    F: FnOnce(LoadContext<T>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
{
    let deadline = alarm::after(soft_timeout);
    let (owned, unread) = (Arc::new(owned), looked.unread.clone());
    let caller = Arc::clone(&owned);
    let mut leading = Box::pin(async move {
        let how = (Purpose::Answer, unread);
        lead(&owned.call(), leader, how, f, tell).await
    });
    if let Some(answer) = alarm::until(deadline, leading.as_mut()).await {
        return answer;
    }
    let permit = Permit::get(FlightsOf(Arc::clone(&caller.backend)));
    let safe = looked.into_safe(&caller.call());
    let (Ok(runtime), Some(permit), Some(safe)) = (Handle::try_current(), permit, safe) else {
        // It cannot go on without its caller, or its caller has nothing to go away with any more.
        return leading.await;
    };
    runtime.spawn(async move {
        let _permit = permit;
        let _ = leading.await;
    });
    caller.backend.flights().tally().count(Event::SoftTimeout);
    let mut answer = safe.answer(Outcome::TimedOut);
    answer.is_refreshing = true;
    Ok(answer)
}
