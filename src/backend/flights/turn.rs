//! Turns: who updates a key next, in the order they came.

use super::Flights;
use crate::backend::Value;
use crate::flights::queue::Queue;
use crate::flights::wake::wake_all;
use std::future::poll_fn;
use std::sync::Arc;

/// Those who update a key or wait to; the first of them has the turn. With what the last one has stored: most likely it is still there, and
/// the store need not be asked.
pub(crate) type Turns = Queue<Option<Value>>;

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

    /// Waits until it is this one's turn. Returns what the one before has stored, if that is known.
    pub(crate) async fn taken(&self) -> Option<Value> {
        poll_fn(|context| {
            let first =
                |stored: &mut Option<Value>, is_first: bool| is_first.then(|| stored.take());
            self.queue.poll(self.ticket, context, first)
        })
        .await
    }

    /// Leaves to the next one what was stored.
    pub(crate) fn leave(&self, stored: Value) {
        // What was there is dropped when the lock is free.
        let before = self.queue.with(|left| left.replace(stored));
        drop(before);
    }
}

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
