//! One load for all processes that share a store: who leads the load of a key in this process asks for the key's
//! [lease](crate::backend::lease) before it loads.
//!
//! 1. *Take*: the lease is asked for together with what is in the store. There may be a value by now; if it is an answer, that is
//!    all. If it is not (it has expired, say), the lease is asked for once more, of just this value.
//! 2. *Lead*: with the lease, the loader runs, and the lease is renewed meanwhile. What was loaded is stored by the lease, in one
//!    step that finds out whether it still lasts. A lease that ended, however it did, makes the load one that was overtaken: those who wait in
//!    this process get what it got, and it is not stored.
//! 3. *Wait*: if another process has the lease, the next look is when the store tells of a change, or after a pause where it does not tell.
//!    Whoever finds the lease free then takes it. That is how a lost leader is handed over.
//!
//! Nobody waits longer than for a load of this process: until the hard timeout, or the backend's patience.

use super::call::{Call, Looked};
use super::found::{Examined, Found, Purpose, is_removed};
use super::outcome::Outcome;
use crate::backend::lease::{Lease, Leased, Leases, Taken};
use crate::backend::{BackendFuture, CacheBackend, Cacheable, alarm};
use crate::error::Error;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A lease is renewed so often in its term.
const RENEWALS: u32 = 3;
/// The pauses between two looks where nobody tells of changes: the first, each twice the last, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// After so long there is a look even if there was no word of a change: the connection may be gone by which it would have come.
const LONGEST_SILENCE: Duration = Duration::from_secs(1);

/// What the leader of a process comes to.
pub(super) enum Turn<T> {
    Examined(Examined<T>),
    /// What is there cannot be read, which is an error here, and may be none for others.
    Unreadable(Error),
    /// Another process took too long.
    Late(Looked<T>, Error),
}

impl<'c, B: CacheBackend + ?Sized> Call<'c, B> {
    /// If one process is to load for all, and the store has what that takes. What is not stored is of no use to others.
    pub(super) fn leases(&self) -> Option<&'c dyn Leases> {
        let options = self.options;
        if !options.fleet_single_flight || options.skip_read || options.skip_write {
            return None;
        }
        self.backend.leases()
    }
}

/// Looks once more, until there is an answer or it is this process's turn to load.
///
/// # Errors
/// What the store fails with, if that is an error.
pub(super) async fn take<B, T>(
    call: &Call<'_, B>,
    leases: &dyn Leases,
    purpose: Purpose,
) -> Result<Turn<T>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    let deadline = Deadline::of(call);
    let mut found = Found::nothing();
    let mut pauses = Pauses::default();
    loop {
        let taking = leases.take(
            call.key,
            found.stored.clone(),
            call.options.fleet_lease.get(),
        );
        let taken = match taking.await {
            Ok(Leased::Granted(lease)) => {
                found.lease = Some(lease);
                return Ok(Turn::Examined(Examined::Found(found)));
            }
            Ok(Leased::Other(stored)) => {
                let examined = match is_removed(call, stored.as_ref()).await {
                    Ok(is_removed) => Found::examined(call, stored, is_removed, purpose),
                    Err(error) => Ok(Examined::Found(Found::unread(call.without_store(error)?))),
                };
                match examined {
                    Err(error) => return Ok(Turn::Unreadable(error)),
                    Ok(Examined::Found(other)) if other.looked.unread.is_some() => {
                        return Ok(Turn::Examined(Examined::Found(other)));
                    }
                    Ok(Examined::Found(other)) => found = other,
                    Ok(Examined::Answer(mut answer)) => {
                        if pauses.has_waited && matches!(answer.outcome, Outcome::Hit) {
                            answer.outcome = Outcome::Coalesced;
                        }
                        return Ok(Turn::Examined(Examined::Answer(answer)));
                    }
                }
                None
            }
            Ok(Leased::Taken(taken)) => Some(taken),
            // It behaves like a store that could not be read: this process loads for itself.
            Err(error) => {
                found.looked.unread = Some(call.without_store(error)?);
                return Ok(Turn::Examined(Examined::Found(found)));
            }
        };
        if taken.is_some() && purpose == Purpose::Refresh {
            // The other one refreshes it.
            let answer = found.looked.answer(Outcome::Stale);
            return Ok(Turn::Examined(Examined::Answer(answer)));
        }
        if Instant::now() >= deadline.at {
            let late = deadline.late(call);
            return Ok(Turn::Late(found.looked, late));
        }
        if let Some(taken) = taken {
            pauses.wait(call, taken, deadline.at).await;
        }
    }
}

/// Until when this process waits for another, and whether that is the load's own limit.
struct Deadline {
    at: Instant,
    is_hard: bool,
}

impl Deadline {
    fn of<B: CacheBackend + ?Sized>(call: &Call<'_, B>) -> Self {
        let patience = call.flights().deadline();
        let hard = call.options.hard_timeout.get().map(alarm::after);
        match hard.filter(|hard| *hard < patience) {
            Some(at) => Self { at, is_hard: true },
            None => Self {
                at: patience,
                is_hard: false,
            },
        }
    }

    fn late<B: CacheBackend + ?Sized>(&self, call: &Call<'_, B>) -> Error {
        if self.is_hard {
            return call.too_late();
        }
        let patience = call.flights().patience();
        let text = format!("waited for the load of another process for {patience:?}");
        call.named(Error::timeout(text))
    }
}

#[derive(Default)]
struct Pauses {
    next: Option<Duration>,
    has_waited: bool,
}

impl Pauses {
    /// Waits until it is worth another look.
    async fn wait<B>(&mut self, call: &Call<'_, B>, taken: Taken<'_>, deadline: Instant)
    where
        B: CacheBackend + ?Sized,
    {
        self.has_waited = true;
        // A millisecond more: what is left is rounded down.
        let left = taken.left.saturating_add(Duration::from_millis(1));
        let (pause, change) = match taken.change {
            Some(change) => (LONGEST_SILENCE, Some(change)),
            None => {
                let pause = self.next.unwrap_or(FIRST_PAUSE);
                self.next = Some((pause * 2).min(LONGEST_PAUSE));
                // Those who began to wait together look at different times.
                let share = 0.5 + call.flights().random_share() / 2.0;
                (pause.mul_f64(share), None)
            }
        };
        let until = alarm::after(pause.min(left)).min(deadline);
        let changed = async {
            let change = change.unwrap_or_else(|| BackendFuture::boxed(pending()));
            if change.await.is_err() {
                // Why that is, the next look finds out, in its time.
                pending::<()>().await;
            }
        };
        let _: Option<()> = alarm::until(until, changed).await;
    }
}

/// Does the work, and renews the lease meanwhile.
pub(super) async fn renewing<F: Future>(
    leases: &dyn Leases,
    key: &str,
    lease: &Lease,
    work: F,
) -> F::Output {
    let renewals = async {
        loop {
            let pause = alarm::after(lease.term() / RENEWALS);
            let _: Option<()> = alarm::until(pause, pending()).await;
            if let Ok(false) = leases.renew(key, lease).await {
                // It has ended, and what is loaded will not be stored.
                return pending::<()>().await;
            }
        }
    };
    let (mut work, mut renewals) = (pin!(work), pin!(renewals));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(output),
        Poll::Pending => {
            let _: Poll<()> = renewals.as_mut().poll(context);
            Poll::Pending
        }
    })
    .await
}
