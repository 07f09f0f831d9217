//! One load, and who leads it.

use super::Flights;
use crate::backend::Value;
use crate::error::Error;
use crate::sync::{Mutex, Ordering};
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Poll, Waker};

/// What a load comes to, for everyone who waits.
pub(crate) type Answer = Result<Value, Error>;

/// A load that someone leads and others may wait for.
#[derive(Default)]
pub(crate) struct Load {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// Whether its key was written meanwhile.
    invalidated: bool,
    waiting: Vec<Waker>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Loading,
    /// The result is on its way to the store: writes of the key wait.
    Storing,
    /// `None` if the leader gave up: who waits looks again.
    Ended(Option<Answer>),
}

impl Load {
    /// Waits for the leader. `None` if it gave up.
    pub(crate) async fn answer(&self) -> Option<Answer> {
        self.wait(|phase| match phase {
            Phase::Ended(answer) => Some(answer.clone()),
            _ => None,
        })
        .await
    }

    /// Waits until nothing is on its way to the store.
    pub(crate) async fn stored(&self) {
        self.wait(|phase| (!matches!(phase, Phase::Storing)).then_some(()))
            .await;
    }

    /// Keeps the result out of the store, unless it is on its way there: then returns true.
    pub(crate) fn invalidate(&self) -> bool {
        let mut state = self.state.lock();
        state.invalidated = true;
        matches!(state.phase, Phase::Storing)
    }

    fn wait<R>(&self, ready: impl Fn(&Phase) -> Option<R>) -> impl Future<Output = R> {
        poll_fn(move |context| {
            let mut state = self.state.lock();
            if let Some(answer) = ready(&state.phase) {
                return Poll::Ready(answer);
            }
            let waker = context.waker();
            if !state.waiting.iter().any(|other| other.will_wake(waker)) {
                state.waiting.push(waker.clone());
            }
            Poll::Pending
        })
    }

    fn enter(&self, phase: Phase) {
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.phase, phase);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        // Wakers and values are others' code: not under the lock.
        drop(old);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Leads a load; abandons it when dropped before the end.
pub(crate) struct Leader<'f> {
    flights: &'f Flights,
    key: Box<str>,
    load: Arc<Load>,
    ended: bool,
}

impl<'f> Leader<'f> {
    pub(crate) fn new(flights: &'f Flights, key: &str, load: Arc<Load>) -> Self {
        Self {
            flights,
            key: key.into(),
            load,
            ended: false,
        }
    }

    /// Whether the result may be stored; if so, writes of the key wait until the end.
    pub(crate) fn may_store(&self) -> bool {
        let mut state = self.load.state.lock();
        if state.invalidated {
            return false;
        }
        state.phase = Phase::Storing;
        true
    }

    /// Answers everyone who waits.
    pub(crate) fn end(mut self, answer: Answer) {
        self.leave(Some(answer));
    }

    fn leave(&mut self, answer: Option<Answer>) {
        self.ended = true;
        let flights = self.flights;
        // It may have been taken out by a write, and another be in its place.
        flights
            .loads
            .remove_if(&self.key, |_, load| Arc::ptr_eq(load, &self.load));
        // Relaxed: a write that still counts this one looks in vain.
        flights.loading.fetch_sub(1, Ordering::Relaxed);
        self.load.enter(Phase::Ended(answer));
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.leave(None);
        }
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load").finish_non_exhaustive()
    }
}
