//! Who has to load: leads the load of its key, or waits for who does.

use super::call::{Call, Looked, Next};
use super::decide::Seen;
use super::outcome::{Answer, Outcome};
use crate::backend::flights::{Event, Joined, Leader, Load, Stuck};
use crate::backend::tag;
use crate::backend::typed::read;
use crate::backend::{CacheBackend, Cacheable, Flights, Value, alarm};
use crate::error::Error;
use std::ops::Deref;
use std::time::Instant;

/// What a caller is that has to load.
pub(super) enum Role<T, D: Deref<Target = Flights>> {
    /// None: it has an answer.
    Answered(Answer<Option<T>>),
    Leads(Leader<D>, Looked<T>),
    /// It loads for itself, and stores nothing: to wait would be to wait for itself, or who leads loads another type.
    Alone(Looked<T>),
}

/// Until when somebody waits for a leader, and why not longer.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    why: Why,
}

#[derive(Clone, Copy)]
enum Why {
    Patience,
    HardTimeout,
    /// There is something stale to answer with.
    SoftTimeout,
}

/// What somebody comes to who waits for a leader.
enum Followed<T> {
    Answer(Answer<Option<T>>),
    /// The leader gave up.
    Again(Looked<T>),
    Alone(Looked<T>),
}

/// # Errors
/// What those who waited get.
pub(super) async fn join<B, T, D>(
    call: &Call<'_, B>,
    mut looked: Looked<T>,
    flights: impl Fn() -> D + Send,
) -> Result<Role<T, D>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    D: Deref<Target = Flights> + Send,
{
    tag::check_key(call.key).map_err(|error| call.named(error))?;
    // One for all the leaders that may give up before one of them ends.
    let mut deadline = None;
    loop {
        if call
            .flights()
            .is_nested(call.key)
            .map_err(|error| call.named(error))?
        {
            return Ok(Role::Alone(looked));
        }
        let leading = match Flights::join(flights(), call.key) {
            Joined::Leads(leader) => return Ok(Role::Leads(leader, looked)),
            Joined::Follows(leading) => leading,
        };
        let until = *deadline.get_or_insert_with(|| Deadline::of(call, &looked));
        match follow(call, looked, &leading, until).await? {
            Followed::Answer(answer) => return Ok(Role::Answered(answer)),
            Followed::Alone(looked) => return Ok(Role::Alone(looked)),
            // Unless the store has an answer by now, there is still what was seen before.
            Followed::Again(before) => {
                // If there is nothing any more to go away with, it has come to the end of the wrong one.
                deadline = deadline.filter(|it| !it.is_over_for(&before));
                match call.look().await? {
                    Next::Answer(answer) => return Ok(Role::Answered(answer)),
                    Next::Refresh(fresh, outcome) => {
                        return Ok(Role::Answered(fresh.answer(outcome)));
                    }
                    Next::Load(again) if again.unread.is_some() => {
                        looked = Looked {
                            unread: again.unread,
                            ..before
                        }
                    }
                    Next::Load(again) => looked = again,
                }
            }
        }
    }
}

impl Deadline {
    /// Whether it was a soft timeout, and what was to be answered with is gone.
    fn is_over_for<T>(self, looked: &Looked<T>) -> bool {
        matches!(self.why, Why::SoftTimeout) && matches!(looked.seen, Seen::Missing)
    }

    fn of<B, T>(call: &Call<'_, B>, looked: &Looked<T>) -> Self
    where
        B: CacheBackend + ?Sized,
    {
        let mut first = Self {
            at: call.flights().deadline(),
            why: Why::Patience,
        };
        let soft = call.options.soft_timeout.get();
        let soft = soft.filter(|_| call.has_background && looked.is_safe(call));
        let limits = [
            (call.options.hard_timeout.get(), Why::HardTimeout),
            (soft, Why::SoftTimeout),
        ];
        for (limit, why) in limits {
            let at = limit.map(alarm::after);
            if let Some(at) = at.filter(|at| *at < first.at) {
                first = Self { at, why };
            }
        }
        first
    }
}

async fn follow<B, T>(
    call: &Call<'_, B>,
    looked: Looked<T>,
    leading: &Load,
    deadline: Deadline,
) -> Result<Followed<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    let answer = call.flights().answer(call.key, leading, deadline.at);
    let error = match (answer.await, deadline.why) {
        (Ok(Some(Ok(value))), _) => {
            // Who came after a removal by tag must not get what was looked for before it.
            match call.holds(&value).await {
                Ok(true) => {}
                Ok(false) => return Ok(Followed::Again(looked)),
                Err(error) => {
                    let unread = Some(call.without_store(error)?);
                    return Ok(Followed::Again(Looked { unread, ..looked }));
                }
            }
            return Ok(match decoded(call, &value)? {
                Some(value) => Followed::Answer(Answer {
                    store_error: looked.unread,
                    ..Answer::new(value, Outcome::Coalesced)
                }),
                None => Followed::Alone(looked),
            });
        }
        (Ok(None), _) => return Ok(Followed::Again(looked)),
        (Err(Stuck::Circular), _) => return Ok(Followed::Alone(looked)),
        (Err(Stuck::Late(_)), Why::SoftTimeout) => {
            let Some(safe) = looked.into_safe(call) else {
                return Ok(Followed::Again(Looked::nothing()));
            };
            call.flights().tally().count(Event::SoftTimeout);
            let mut answer = safe.answer(Outcome::TimedOut);
            answer.is_refreshing = true;
            return Ok(Followed::Answer(answer));
        }
        (Ok(Some(Err(error))), _) => error,
        (Err(Stuck::Late(_)), Why::HardTimeout) => call.too_late(),
        (Err(Stuck::Late(error)), Why::Patience) => call.named(error),
    };
    let answer = looked.or_fail(call, error.clone(), || error)?;
    Ok(Followed::Answer(answer))
}

/// What a leader has got, as those who wait read it; `None` if they cannot.
fn decoded<B, T>(call: &Call<'_, B>, value: &Value) -> Result<Option<Option<T>>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    if value.times().is_some_and(|times| times.is_negative) {
        return Ok(call.is_optional.then_some(None));
    }
    let (strict, backend) = (call.is_strict(), call.backend);
    let read = read::or_miss_unless(strict, backend, call.operation, call.key, value.to())?;
    Ok(read.map(Some))
}

impl<B: CacheBackend + ?Sized> Call<'_, B> {
    /// The loader, this caller's or another's, took longer than it may.
    pub(super) fn too_late(&self) -> Error {
        let limit = self.options.hard_timeout.get().unwrap_or_default();
        let text = format!("the load took longer than {limit:?}");
        self.named(Error::timeout(text))
    }
}
