//! Turns: who updates a key next, first come first served.

use super::Flights;
use crate::sync::Mutex;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Those who update a key or wait to; the first of them has the turn.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By ticket, and the waker of those that have been polled.
    line: VecDeque<(u64, Option<Waker>)>,
}

/// A place in the line; whoever holds it gives it up when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'f> {
    flights: &'f Flights,
    key: Box<str>,
    queue: Arc<Queue>,
    ticket: u64,
}

impl<'f> Turn<'f> {
    /// Joins the line; called under the table's lock, so that the queue stays in the table.
    pub(crate) fn join(flights: &'f Flights, key: &str, queue: &Arc<Queue>) -> Self {
        let mut state = queue.state.lock();
        let ticket = state.next;
        state.next += 1;
        state.line.push_back((ticket, None));
        Self {
            flights,
            key: key.into(),
            queue: Arc::clone(queue),
            ticket,
        }
    }

    /// Waits until it is this one's turn.
    pub(crate) async fn taken(&mut self) {
        poll_fn(|context| {
            let mut state = self.queue.state.lock();
            // Tickets in the line ascend.
            let place = state
                .line
                .partition_point(|(ticket, _)| *ticket < self.ticket);
            if place == 0 {
                return Poll::Ready(());
            }
            state.line[place].1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        let place = state
            .line
            .partition_point(|(ticket, _)| *ticket < self.ticket);
        state.line.remove(place);
        let next = match place {
            0 => state.line.front_mut().and_then(|(_, waker)| waker.take()),
            _ => None,
        };
        let last = state.line.is_empty();
        drop(state);
        if let Some(waker) = next {
            waker.wake();
        }
        if last {
            // Unless someone has joined since: that happens under the table's lock, as this does.
            self.flights
                .turns
                .remove_if(&self.key, |_, queue| queue.state.lock().line.is_empty());
        }
    }
}
