//! A queue: a value under a lock, and those who wait for it to change, in the order they came.
//!
//! Whoever waits holds a ticket, under which the queue has its waker, and gives it back on leaving, however it leaves. Wakers are
//! others' code: none is cloned, dropped or woken under the lock.

use super::wake::wake_all;
use crate::sync::Mutex;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// A value, and those who wait for it to change.
#[derive(Debug, Default)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug, Default)]
struct State<T> {
    value: T,
    next_ticket: u64,
    /// By ticket, so in the order they came. There is no waker before the first poll, nor after a wake.
    waiting: BTreeMap<u64, Option<Waker>>,
}

/// How a queue is left by somebody.
pub(crate) struct Left {
    /// Wakes the one who is first now, if it was not before.
    pub(crate) next: Option<Waker>,
    pub(crate) is_empty: bool,
}

impl<T> State<T> {
    fn join(&mut self) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, None);
        ticket
    }
}

impl<T> Queue<T> {
    /// Looks at the value, or changes it in a way that nobody waits for.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.state.lock().value)
    }

    /// Changes the value in a way that only the first of those who wait can make use of, and wakes that one.
    pub(crate) fn change_for_first(&self, f: impl FnOnce(&mut T)) {
        let mut state = self.state.lock();
        f(&mut state.value);
        let first = state.waiting.values_mut().next();
        let waker = first.and_then(Option::take);
        drop(state);
        wake_all(waker);
    }

    /// Changes the value and wakes all who wait. Returns the old one, which is dropped outside of the lock.
    pub(crate) fn change(&self, value: T) -> T {
        let mut state = self.state.lock();
        let old = std::mem::replace(&mut state.value, value);
        let wakers: Vec<Waker> = state
            .waiting
            .values_mut()
            .filter_map(Option::take)
            .collect();
        drop(state);
        wake_all(wakers);
        old
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.lock().waiting.is_empty()
    }

    /// The ticket that whoever comes next will have: those of all who have come so far are lower.
    pub(crate) fn next_ticket(&self) -> u64 {
        self.state.lock().next_ticket
    }

    /// Takes the last ticket.
    pub(crate) fn join(&self) -> u64 {
        self.state.lock().join()
    }

    /// Asks `now`, which sees the value and how many wait, and takes the last ticket if it has no answer.
    pub(crate) fn join_unless<R>(
        &self,
        now: impl FnOnce(&mut T, usize) -> Option<R>,
    ) -> Result<u64, R> {
        let mut state = self.state.lock();
        let waiting = state.waiting.len();
        match now(&mut state.value, waiting) {
            Some(answer) => Err(answer),
            None => Ok(state.join()),
        }
    }

    /// Gives a ticket back. Nobody else is concerned.
    pub(crate) fn leave(&self, ticket: u64) {
        let waker = self.state.lock().waiting.remove(&ticket);
        drop(waker);
    }

    /// Gives a ticket back, and says who comes next.
    pub(crate) fn hand_over(&self, ticket: u64) -> Left {
        let mut state = self.state.lock();
        let was_first = state.waiting.keys().next() == Some(&ticket);
        let waker = state.waiting.remove(&ticket);
        let first = state.waiting.values_mut().next();
        let left = Left {
            next: first.filter(|_| was_first).and_then(Option::take),
            is_empty: state.waiting.is_empty(),
        };
        drop(state);
        drop(waker);
        left
    }

    /// Waits until `ready` has an answer, which it is asked for at each change of the value.
    pub(crate) async fn wait<R>(&self, ready: impl Fn(&T) -> Option<R>) -> R {
        let waiting = Waiting::join(self);
        poll_fn(|context| {
            waiting
                .queue
                .poll(waiting.ticket, context, |value, _| ready(value))
        })
        .await
    }

    /// Asks `ready`, which sees the value, may change it, and is told whether this ticket is the first. If it is not ready, the next
    /// change wakes the task that polls.
    pub(crate) fn poll<R>(
        &self,
        ticket: u64,
        context: &Context<'_>,
        ready: impl Fn(&mut T, bool) -> Option<R>,
    ) -> Poll<R> {
        let mut waker = None;
        loop {
            let mut state = self.state.lock();
            let is_first = state.waiting.keys().next() == Some(&ticket);
            if let Some(answer) = ready(&mut state.value, is_first) {
                drop(state);
                return Poll::Ready(answer);
            }
            let Some(waiting) = state.waiting.get_mut(&ticket) else {
                // Nobody polls with a ticket that was given back.
                return Poll::Pending;
            };
            let is_known = |known: &Waker| known.will_wake(context.waker());
            if waiting.as_ref().is_some_and(is_known) {
                return Poll::Pending;
            }
            if let Some(waker) = waker.take() {
                let old = waiting.replace(waker);
                drop(state);
                drop(old);
                return Poll::Pending;
            }
            drop(state);
            waker = Some(context.waker().clone());
        }
    }
}

/// A ticket of one who waits, given back when dropped.
struct Waiting<'q, T> {
    queue: &'q Queue<T>,
    ticket: u64,
}

impl<'q, T> Waiting<'q, T> {
    fn join(queue: &'q Queue<T>) -> Self {
        let ticket = queue.join();
        Self { queue, ticket }
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.queue.leave(self.ticket);
    }
}
