//! The driver: look, decide, join, lead.
//!
//! It begins behind the glance into memory, and what it is made of is boxed there: the future of a load is moved about before it is
//! polled, most are hits, and these are to move nothing that they do not need. What comes behind the look into the store is boxed
//! once more, for the sake of hits there.

use super::background::{OwnedCall, Refresh, lead_beyond, refresh};
use super::call::{Call, Looked, Next, Tags};
use super::context::LoadContext;
use super::found::Purpose;
use super::glance::{Glance, Glancing, Rest};
use super::handle::{FlightsOf, SharedHandle};
use super::join::{Role, join};
use super::lead::{Tell, alone, lead};
use super::outcome::{Answer, Outcome};
use crate::backend::flights::Event;
use crate::backend::{CacheBackend, Cacheable};
use crate::error::Error;
use crate::time::Ttl;
use std::any::type_name;
use std::future::Future;

/// A load whose caller waits for all of it.
pub(super) async fn run<B, T, E, F, Fut>(
    call: Call<'_, B>,
    glance: Glance<T>,
    f: F,
    tell: Tell<E>,
) -> Result<Answer<Option<T>>, E>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: From<Error> + Send,
    F: FnOnce(LoadContext<T>) -> Fut + Send,
    Fut: Future<Output = Result<Option<T>, E>> + Send,
{
    match call.look_from(glance).await? {
        Next::Answer(answer) => Ok(answer),
        Next::Refresh(looked, _) | Next::Load(looked) => {
            Box::pin(load(&call, looked, f, tell)).await
        }
    }
}

/// The same, behind the look.
async fn load<B, T, E, F, Fut>(
    call: &Call<'_, B>,
    looked: Looked<T>,
    f: F,
    tell: Tell<E>,
) -> Result<Answer<Option<T>>, E>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: From<Error> + Send,
    F: FnOnce(LoadContext<T>) -> Fut + Send,
    Fut: Future<Output = Result<Option<T>, E>> + Send,
{
    match join(call, looked, || call.flights()).await? {
        Role::Answered(answer) => Ok(answer),
        Role::Alone(looked) => alone(call, looked, f, tell).await,
        Role::Leads(leader, looked) => {
            let how = (Purpose::Answer, looked.unread);
            lead(call, leader, how, f, tell).await
        }
    }
}

/// A load that may go on without its caller.
pub(super) async fn run_shared<H, T, E, F, Fut>(
    handle: &H,
    mut call: Call<'_, H::Backend>,
    glance: Glance<T>,
    f: F,
    tell: Tell<E>,
) -> Result<Answer<Option<T>>, E>
where
    H: SharedHandle,
    T: Cacheable,
    E: From<Error> + Send + 'static,
    F: FnOnce(LoadContext<T>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
{
    let next = if call.options.soft_timeout.is_set() {
        Box::pin(call.look_briefly(glance)).await?
    } else {
        call.look_from(glance).await?
    };
    let (looked, f) = match next {
        Next::Answer(answer) => return Ok(answer),
        Next::Load(looked) => (looked, f),
        // This one, too, is quick.
        Next::Refresh(looked, outcome) => {
            match (refresh(&call, || handle.shared(), f, tell), outcome) {
                (Ok(refresh), outcome) => {
                    if matches!(outcome, Outcome::TimedOut) {
                        call.flights().tally().count(Event::SoftTimeout);
                    }
                    let mut answer = looked.answer(outcome);
                    answer.is_refreshing = refresh == Refresh::UnderWay;
                    return Ok(answer);
                }
                // Without a runtime what is fresh just expires, and what has expired is loaded.
                (Err(_), Outcome::Hit) => return Ok(looked.answer(Outcome::Hit)),
                (Err(f), _) => {
                    call.has_background = false;
                    (looked, f)
                }
            }
        }
    };
    Box::pin(load_shared(handle, &call, looked, f, tell)).await
}

/// The same, behind the look.
async fn load_shared<H, T, E, F, Fut>(
    handle: &H,
    call: &Call<'_, H::Backend>,
    looked: Looked<T>,
    f: F,
    tell: Tell<E>,
) -> Result<Answer<Option<T>>, E>
where
    H: SharedHandle,
    T: Cacheable,
    E: From<Error> + Send + 'static,
    F: FnOnce(LoadContext<T>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<T>, E>> + Send + 'static,
{
    let soft_timeout = call.options.soft_timeout.get();
    let Some(soft_timeout) = soft_timeout.filter(|_| looked.is_safe(call)) else {
        return load(call, looked, f, tell).await;
    };
    match join(call, looked, || FlightsOf(handle.shared())).await? {
        Role::Answered(answer) => Ok(answer),
        Role::Alone(looked) => alone(call, looked, f, tell).await,
        Role::Leads(leader, looked) => {
            let owned = OwnedCall::new(handle.shared(), call);
            lead_beyond(owned, leader, looked, soft_timeout, f, tell).await
        }
    }
}

/// [`CacheBackendExt::get_or_load`](crate::backend::CacheBackendExt::get_or_load), with what became of it.
pub(crate) async fn get_or_load<B, T, E, F, Fut>(
    backend: &B,
    key: &str,
    ttl: Ttl,
    f: F,
) -> Result<Answer<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
{
    let glancing = Glancing {
        backend,
        key,
        options: backend.load_options(),
        is_optional: false,
        has_background: false,
    };
    let mut rest = Rest::Nothing;
    if let Some(hit) = glancing.hit(&mut rest) {
        return Ok(Answer::hit(certain(hit), &rest));
    }
    let glance = match glancing.beyond(rest) {
        Glance::Hit(value) => return Ok(Answer::new(certain(value), Outcome::Hit)),
        Glance::Refreshing(value) => return Ok(Answer::refreshing(certain(value))),
        glance => glance,
    };
    Box::pin(get_or_load_behind(backend, key, ttl, glance, f)).await
}

/// The same, behind the glance.
async fn get_or_load_behind<B, T, E, F, Fut>(
    backend: &B,
    key: &str,
    ttl: Ttl,
    glance: Glance<T>,
    f: F,
) -> Result<Answer<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
{
    let options = backend.load_options().clone().ttl(ttl);
    let call = Call {
        backend,
        key,
        options: &options,
        tags: Tags::Borrowed(&[]),
        operation: "get_or_load",
        error_type: Some(type_name::<E>()),
        is_optional: false,
        has_background: false,
    };
    // An error is shared with all who wait.
    let load = |_| async { f().await.map(Some).map_err(Error::load) };
    let answer = run(call, glance, load, Error::clone).await;
    let answer = answer.map_err(|error| error.during("get_or_load", Some(key)))?;
    Ok(answer.map(certain))
}

/// The value of a load that is not optional.
pub(super) fn certain<T>(value: Option<T>) -> T {
    match value {
        Some(value) => value,
        None => unreachable!("only an optional load has none"),
    }
}
