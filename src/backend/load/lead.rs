//! The leader's work; and that of who loads alone.

use super::call::{Call, Looked};
use super::context::LoadContext;
use super::entry::{Before, Entry};
use super::fleet::{self, Turn};
use super::found::{Examined, Found, Purpose, is_removed};
use super::outcome::{Answer, Outcome};
use crate::backend::flights::{Event, Failure, Leader, Scope};
use crate::backend::refreshing::Refresher;
use crate::backend::stats::Operation;
use crate::backend::tag::Tag;
use crate::backend::{CacheBackend, Cacheable, Flights, Value, alarm, wall};
use crate::error::Error;
use std::error::Error as _;
use std::future::Future;
use std::ops::Deref;

/// How others are told of a loader's error.
pub(super) type Tell<E> = fn(&E) -> Error;

/// Looks once more, loads, stores, and answers all followers.
///
/// Dropped, it hands over: followers look again. What was on its way to the store is stored or not.
pub(super) async fn lead<B, T, E, F, Fut, D>(
    call: &Call<'_, B>,
    leader: Leader<D>,
    (purpose, unread): (Purpose, Option<Error>),
    f: F,
    tell: Tell<E>,
) -> Result<Answer<Option<T>>, E>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: From<Error> + Send,
    F: FnOnce(LoadContext<T>) -> Fut + Send,
    Fut: Future<Output = Result<Option<T>, E>> + Send,
    D: Deref<Target = Flights> + Send,
{
    // 1. Look once more: another load may have ended since. A store that could not be read a moment ago is not asked again.
    let leases = call.leases();
    let turn = match (unread, leases) {
        (Some(error), _) => Ok(Turn::Examined(Examined::Found(Found::unread(error)))),
        (None, None) => look_again(call, purpose).await,
        (None, Some(leases)) => fleet::take(call, leases, purpose).await,
    };
    let mut found = match turn {
        // What another load stored is not for followers: a write that began before we led may be about to remove it, and they
        // may come after that. They look again.
        Ok(Turn::Examined(Examined::Answer(answer))) => return Ok(answer),
        Ok(Turn::Examined(Examined::Found(found))) => found,
        Ok(Turn::Unreadable(error)) => return Err(error.into()),
        Ok(Turn::Late(looked, told)) => {
            leader.end(Err(told.clone()));
            return looked.or_fail(call, told.clone(), || told.into());
        }
        Err(error) => {
            leader.end(Err(error.clone()));
            return Err(error.into());
        }
    };
    let _marked = found.stored.as_ref().and_then(Refresher::begin);
    // 2. Look which versions the tags have: before the loader runs, so that what it gets is no older.
    let tags = match call.versions(&mut found.looked).await {
        Ok(tags) => tags,
        Err(error) => {
            leader.end(Err(error.clone()));
            return Err(error.into());
        }
    };
    // 3. Load.
    let meta = found.stored.as_ref().filter(|_| !found.is_removed);
    let meta = meta.and_then(Value::meta);
    let context = LoadContext::new(found.looked.value.clone(), meta);
    // 4. Store, and answer.
    let running = run(call, purpose, context, f);
    let ended = match (leases, &found.lease) {
        (Some(leases), Some(lease)) => fleet::renewing(leases, call.key, lease, running).await,
        _ => running.await,
    };
    match ended {
        Ended::Got(value, context) => {
            let stored = store(call, leader, found, tags, value, context).await;
            stored.map_err(E::from)
        }
        Ended::Failed(error) => {
            let told = call.named(tell(&error));
            fail(call, leader, &told);
            found.looked.or_fail(call, told, || error)
        }
        Ended::Refused(told) => {
            leader.end(Err(told.clone()));
            found.looked.or_fail(call, told.clone(), || told.into())
        }
        Ended::TooLate => {
            let told = call.too_late();
            fail(call, leader, &told);
            found.looked.or_fail(call, told.clone(), || told.into())
        }
    }
}

/// Looks into the store, which another load may have filled since.
async fn look_again<B, T>(call: &Call<'_, B>, purpose: Purpose) -> Result<Turn<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    let stored = async {
        let stored = call.backend.get_value(call.key).await?;
        let is_removed = is_removed(call, stored.as_ref()).await?;
        Ok((stored, is_removed))
    };
    let examined = match stored.await {
        Ok((stored, is_removed)) => {
            if stored.is_none() {
                call.flights().miss_again(Operation::Get, 1);
            }
            match Found::examined(call, stored, is_removed, purpose) {
                Ok(examined) => examined,
                Err(error) => return Ok(Turn::Unreadable(error)),
            }
        }
        Err(error) => Examined::Found(Found::unread(call.without_store(error)?)),
    };
    Ok(Turn::Examined(examined))
}

/// Loads, and stores nothing: the result is only returned.
pub(super) async fn alone<B, T, E, F, Fut>(
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
    let context = LoadContext::new(looked.value.clone(), None);
    match run(call, Purpose::Answer, context, f).await {
        Ended::Got(value, context) => {
            let before = Before {
                meta: None,
                is_there: false,
                tags: None,
            };
            let entry = Entry::new(call, value, context.take_effects(), before);
            let entry = entry.map_err(|error| call.named(error))?;
            Ok(Answer {
                store_error: looked.unread,
                ..Answer::new(value_of(call, &entry.answer)?, Outcome::Loaded)
            })
        }
        Ended::Failed(error) => {
            let told = call.named(tell(&error));
            looked.or_fail(call, told, || error)
        }
        Ended::Refused(told) => looked.or_fail(call, told.clone(), || told.into()),
        Ended::TooLate => {
            let told = call.too_late();
            looked.or_fail(call, told.clone(), || told.into())
        }
    }
}

/// What a loader came to.
enum Ended<T, E> {
    Got(Option<T>, LoadContext<T>),
    Failed(E),
    /// The loader was not called.
    Refused(Error),
    TooLate,
}

/// Runs the loader: inside, so that a load of the same key in it does not wait for this one.
async fn run<B, T, E, F, Fut>(
    call: &Call<'_, B>,
    purpose: Purpose,
    context: LoadContext<T>,
    f: F,
) -> Ended<T, E>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    E: Send,
    F: FnOnce(LoadContext<T>) -> Fut + Send,
    Fut: Future<Output = Result<Option<T>, E>> + Send,
{
    let flights = call.flights();
    let _permit = match flights.permit(&[call.key]).await {
        Ok(permit) => permit,
        Err(error) => return Ended::Refused(call.named(error)),
    };
    flights.tally().count(Event::Begun);
    let decided = context.handle();
    let mut watch = Watch {
        call,
        is_over: false,
    };
    let is_refresh = purpose == Purpose::Refresh;
    let (key, error_type) = (call.key, call.error_type);
    let loading = flights.load(key, is_refresh, error_type, async { f(context).await });
    let loaded = match call.options.hard_timeout.get() {
        None => Some(loading.await),
        Some(limit) => alarm::until(alarm::after(limit), loading).await,
    };
    watch.is_over = true;
    match loaded {
        Some(Ok(value)) => Ended::Got(value, decided),
        Some(Err(error)) => Ended::Failed(error),
        None => {
            flights.tally().count(Event::TimedOut);
            Ended::TooLate
        }
    }
}

/// Notes that a loader panicked.
struct Watch<'w, 'c, B: CacheBackend + ?Sized> {
    call: &'w Call<'c, B>,
    is_over: bool,
}

impl<B: CacheBackend + ?Sized> Drop for Watch<'_, '_, B> {
    fn drop(&mut self) {
        if !self.is_over && std::thread::panicking() {
            self.call.flights().tally().count(Event::Failed);
            self.call.note_failure("the loader panicked".into());
        }
    }
}

impl<B: CacheBackend + ?Sized> Call<'_, B> {
    fn note_failure(&self, text: std::sync::Arc<str>) {
        if self.options.notes_failures() {
            let at = wall::now(self.backend);
            let failure = Failure { at, text };
            self.flights().failures().note(self.key, failure);
        }
    }
}

/// Tells all who wait that the load failed, and notes it, unless a write has made that void.
fn fail<B, D>(call: &Call<'_, B>, leader: Leader<D>, told: &Error)
where
    B: CacheBackend + ?Sized,
    D: Deref<Target = Flights>,
{
    call.flights().tally().count(Event::Failed);
    if !leader.is_overtaken() {
        let text = told
            .source()
            .map_or_else(|| told.to_string(), ToString::to_string);
        call.note_failure(text.into());
    }
    leader.end(Err(told.clone()));
}

/// Stores what was loaded, unless a write has overtaken the load, and answers all who wait.
async fn store<B, T, D>(
    call: &Call<'_, B>,
    leader: Leader<D>,
    found: Found<T>,
    tags: Option<Box<[Tag]>>,
    value: Option<T>,
    context: LoadContext<T>,
) -> Result<Answer<Option<T>>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    D: Deref<Target = Flights> + Send,
{
    let (flights, expected) = (call.flights(), found.stored.as_ref());
    let lease = call.leases().zip(found.lease);
    let mut store_error = found.looked.unread;
    let before = Before {
        meta: context.meta(),
        is_there: expected.is_some(),
        tags,
    };
    let written = match Entry::new(call, value, context.take_effects(), before) {
        Err(error) => Err(error),
        Ok(Entry {
            answer,
            stored: Some((stored, ttl)),
        }) if leader.may_store() => {
            // It is not stored if another has stored a value meanwhile: that one stays.
            let stored = match lease {
                None => call
                    .backend
                    .compare_and_set(call.key, expected, stored, Some(ttl)),
                Some((leases, lease)) => {
                    leases.store_leased(call.key, lease, expected, stored, ttl)
                }
            };
            match stored.await {
                Ok(_) => Ok(answer),
                Err(error) if call.options.strict || error.is_encoding() => Err(error),
                Err(error) => {
                    flights.tally().count(Event::Unstored);
                    store_error = Some(call.named(error));
                    Ok(answer)
                }
            }
        }
        Ok(entry) => Ok(entry.answer),
    };
    flights.failures().forget(Scope::Key(call.key));
    let written = written.map_err(|error| call.named(error));
    leader.end(written.clone());
    Ok(Answer {
        store_error,
        ..Answer::new(value_of(call, &written?)?, Outcome::Loaded)
    })
}

fn value_of<B, T>(call: &Call<'_, B>, answer: &Value) -> Result<Option<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    match answer.times() {
        Some(times) if times.is_negative => Ok(None),
        _ => Ok(Some(answer.to().map_err(|error| call.named(error))?)),
    }
}
