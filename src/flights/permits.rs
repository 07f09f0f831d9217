//! Permits: so many may work at a time, and so many wait for that, in the order they came.
//!
//! Permits that are free are taken by whoever is first in the queue, and by somebody who has just come only if nobody is in it. Who
//! gives one back wakes the first. That one takes it when it is polled, leaves the queue, and so wakes the next, who may find another.
//! One that leaves without having taken what it was woken for wakes the next, too: so no permit lies idle while somebody waits.

use super::queue::Queue;
use super::wake::wake_all;
use std::future::poll_fn;

/// A count of permits with a limit, and those who wait for one.
#[derive(Debug)]
pub(crate) struct Permits {
    /// How many are taken.
    queue: Queue<usize>,
    most: usize,
    most_waiting: usize,
}

/// A permit that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Permit<'p>(&'p Permits);

impl Permits {
    pub(crate) fn new(most: usize, most_waiting: usize) -> Self {
        Self {
            queue: Queue::default(),
            most,
            most_waiting,
        }
    }

    /// How many there are, and how many may wait for one.
    pub(crate) fn limits(&self) -> (usize, usize) {
        (self.most, self.most_waiting)
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.queue.with(|taken| *taken)
    }

    /// Whether nobody waits.
    #[cfg(nori_loom)]
    pub(crate) fn is_deserted(&self) -> bool {
        self.queue.is_empty()
    }

    /// Waits for a permit; `None`, at once, if too many wait.
    pub(crate) async fn take(&self) -> Option<Permit<'_>> {
        let joined = self.queue.join_unless(|taken, waiting| {
            if waiting == 0 && *taken < self.most {
                *taken += 1;
                return Some(true);
            }
            (waiting >= self.most_waiting).then_some(false)
        });
        let waiting = match joined {
            Ok(ticket) => Waiting {
                queue: &self.queue,
                ticket,
            },
            Err(is_taken) => return is_taken.then(|| Permit(self)),
        };
        let taken = poll_fn(|context| {
            let take = |taken: &mut usize, is_first: bool| {
                let is_free = is_first && *taken < self.most;
                is_free.then(|| *taken += 1)
            };
            waiting.queue.poll(waiting.ticket, context, take)
        });
        taken.await;
        let permit = Permit(self);
        // The next may find another.
        drop(waiting);
        Some(permit)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.queue.change_for_first(|taken| *taken -= 1);
    }
}

/// A ticket of one who waits; given back, it wakes the next.
struct Waiting<'p> {
    queue: &'p Queue<usize>,
    ticket: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        wake_all(self.queue.hand_over(self.ticket).next);
    }
}
