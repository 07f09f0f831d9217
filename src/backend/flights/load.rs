//! One load, and who leads it.

use super::Flights;
use super::line::Line;
use crate::backend::Value;
use crate::error::Error;
use crate::sync::Ordering;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

/// What a load comes to, for everyone who waits.
pub(crate) type Answer = Result<Value, Error>;

/// A load that someone leads and others may wait for.
#[derive(Default)]
pub(crate) struct Load {
    line: Line<Phase>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Loading,
    /// Its key was written meanwhile: the result will not be stored.
    Overtaken,
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
        self.line.with(|phase| match phase {
            Phase::Loading => {
                *phase = Phase::Overtaken;
                false
            }
            Phase::Storing => true,
            Phase::Overtaken | Phase::Ended(_) => false,
        })
    }

    /// Whether nobody waits.
    #[cfg(nori_loom)]
    pub(crate) fn is_deserted(&self) -> bool {
        self.line.is_empty()
    }

    async fn wait<R>(&self, ready: impl Fn(&Phase) -> Option<R>) -> R {
        let place = Place::join(&self.line);
        poll_fn(|context| {
            let ready = |phase: &Phase, _| ready(phase);
            place.line.poll(place.ticket, context, ready)
        })
        .await
    }
}

/// A place among those who wait, given up when dropped.
struct Place<'l> {
    line: &'l Line<Phase>,
    ticket: u64,
}

impl<'l> Place<'l> {
    fn join(line: &'l Line<Phase>) -> Self {
        let ticket = line.join();
        Self { line, ticket }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.line.leave(self.ticket);
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
        self.load.line.with(|phase| {
            if matches!(phase, Phase::Overtaken) {
                return false;
            }
            *phase = Phase::Storing;
            true
        })
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
        self.load.line.change(Phase::Ended(answer));
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
