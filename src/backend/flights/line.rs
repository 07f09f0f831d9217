//! A line: something under a lock, and those who wait for it to change, in the order they came.
//!
//! Whoever waits has a place, with a waker, and takes it out of the line on leaving, however it leaves. Wakers are others' code:
//! none is cloned, dropped or woken under the lock.

use crate::backend::wake::wake_all;
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Line<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug, Default)]
struct State<T> {
    value: T,
    next: u64,
    /// By ticket: in the order they came. No waker before the first poll, and after a wake.
    places: BTreeMap<u64, Option<Waker>>,
}

/// What somebody has left behind.
pub(super) struct Left {
    /// The one who is first now, if it was not before.
    pub(super) next: Option<Waker>,
    pub(super) is_empty: bool,
}

impl<T> Line<T> {
    /// Looks at the value, or changes it so that nobody needs to know.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.state.lock().value)
    }

    /// Changes the value and wakes all who wait. Returns the old one, which is dropped outside of the lock.
    pub(super) fn change(&self, value: T) -> T {
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.value, value);
        let wakers: Vec<Waker> = state.places.values_mut().filter_map(Option::take).collect();
        drop(state);
        wake_all(wakers);
        old
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().places.is_empty()
    }

    /// Takes the last place.
    pub(super) fn join(&self) -> u64 {
        let mut state = self.state.lock();
        let ticket = state.next;
        state.next += 1;
        state.places.insert(ticket, None);
        ticket
    }

    /// Gives a place up. Nobody else is concerned.
    pub(super) fn leave(&self, ticket: u64) {
        let waker = self.state.lock().places.remove(&ticket);
        drop(waker);
    }

    /// Gives a place up, and says who comes next.
    pub(super) fn hand_over(&self, ticket: u64) -> Left {
        let mut state = self.state.lock();
        let was_first = state.places.keys().next() == Some(&ticket);
        let waker = state.places.remove(&ticket);
        let first = state.places.values_mut().next();
        let left = Left {
            next: first.filter(|_| was_first).and_then(Option::take),
            is_empty: state.places.is_empty(),
        };
        drop(state);
        drop(waker);
        left
    }

    /// Looks whether it is ready, which may depend on being the first; if not, whoever polls is woken by the next change.
    pub(super) fn poll<R>(
        &self,
        ticket: u64,
        context: &Context<'_>,
        ready: impl Fn(&T, bool) -> Option<R>,
    ) -> Poll<R> {
        let mut waker = None;
        loop {
            let mut state = self.state.lock();
            let is_first = state.places.keys().next() == Some(&ticket);
            if let Some(answer) = ready(&state.value, is_first) {
                drop(state);
                return Poll::Ready(answer);
            }
            let Some(place) = state.places.get_mut(&ticket) else {
                // Nobody polls who has left.
                return Poll::Pending;
            };
            let is_known = |known: &Waker| known.will_wake(context.waker());
            if place.as_ref().is_some_and(is_known) {
                return Poll::Pending;
            }
            if let Some(waker) = waker.take() {
                let old = place.replace(waker);
                drop(state);
                drop(old);
                return Poll::Pending;
            }
            drop(state);
            waker = Some(context.waker().clone());
        }
    }
}
