//! Turns: who updates a key next, in the order they came.

use super::Flights;
use crate::backend::Value;
use crate::flights::queue::Queue;
use crate::flights::wake::wake_all;
use std::future::poll_fn;
use std::sync::Arc;

/// Those who update a key or wait to; the first of them has the turn. With what the last one has stored.
pub(crate) type Turns = Queue<Option<Stored>>;

/// What an update has stored, for those who have waited since before that: to them it is what was there at a moment of their wait. Who
/// has come later may know that it is not there any more.
#[derive(Debug)]
pub(crate) struct Stored {
    value: Value,
    /// Their tickets are below this one.
    for_tickets_below: u64,
}

/// A ticket in the queue of a key, given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'f> {
    flights: &'f Flights,
    key: Box<str>,
    queue: Arc<Turns>,
    ticket: u64,
}

impl<'f> Turn<'f> {
    /// Joins the queue; called under the table's lock, so that the queue stays in the table.
    pub(super) fn join(flights: &'f Flights, key: &str, queue: &Arc<Turns>) -> Self {
        Self {
            flights,
            key: key.into(),
            queue: Arc::clone(queue),
            ticket: queue.join(),
        }
    }

    /// Waits until it is this one's turn. Returns what the one before has stored during the wait, if that is known.
    pub(crate) async fn taken(&self) -> Option<Value> {
        let stored = poll_fn(|context| {
            let first =
                |stored: &mut Option<Stored>, is_first: bool| is_first.then(|| stored.take());
            self.queue.poll(self.ticket, context, first)
        });
        let stored = stored.await?;
        (self.ticket < stored.for_tickets_below).then_some(stored.value)
    }

    /// To be called before something is stored: whom it is for. `None`: nobody waits.
    pub(crate) fn successors(&self) -> Option<Successors> {
        let next = self.queue.next_ticket();
        (next > self.ticket + 1).then_some(Successors(next))
    }

    /// Leaves what was stored to the next one.
    pub(crate) fn leave(&self, value: Value, Successors(for_tickets_below): Successors) {
        let stored = Stored {
            value,
            for_tickets_below,
        };
        // What was there is dropped when the lock is free.
        let before = self.queue.with(|left| left.replace(stored));
        drop(before);
    }
}

/// Those who wait for a turn at some moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Successors(u64);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let left = self.queue.hand_over(self.ticket);
        wake_all(left.next);
        if left.is_empty {
            // Unless someone has joined since. To join takes the table's lock, as this does.
            self.flights
                .turns
                .remove_if(&self.key, |_, queue| queue.is_empty());
        }
    }
}
