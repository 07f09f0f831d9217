//! One load, and its leader.

use super::Flights;
use crate::backend::Value;
use crate::error::Error;
use crate::flights::queue::Queue;
use crate::sync::Ordering;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// What a load comes to, for all who wait.
pub(crate) type Answer = Result<Value, Error>;

/// A load that someone leads and others may wait for.
#[derive(Default)]
pub(crate) struct Load {
    queue: Queue<Phase>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Loading,
    /// Its key was written meanwhile: the result will not be stored.
    Overtaken,
    /// The result is on its way to the store: writes of the key wait.
    Storing,
    /// `None` if the leader gave up: followers look again.
    Ended(Option<Answer>),
}

impl Load {
    /// Waits for the leader. `None` if it gave up.
    pub(crate) async fn answer(&self) -> Option<Answer> {
        self.queue
            .wait(|phase| match phase {
                Phase::Ended(answer) => Some(answer.clone()),
                _ => None,
            })
            .await
    }

    /// Waits until nothing is on its way to the store.
    pub(crate) async fn stored(&self) {
        self.queue
            .wait(|phase| (!matches!(phase, Phase::Storing)).then_some(()))
            .await;
    }

    /// Keeps the result out of the store, unless it is on its way there: then returns true.
    pub(crate) fn invalidate(&self) -> bool {
        self.queue.with(|phase| match phase {
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
        self.queue.is_empty()
    }
}

/// Leads a load, and abandons it when dropped before the end.
pub(crate) struct Leader<D: Deref<Target = Flights>> {
    flights: D,
    key: Box<str>,
    load: Arc<Load>,
    ended: bool,
}

impl<D: Deref<Target = Flights>> Leader<D> {
    pub(crate) fn new(flights: D, key: &str, load: Arc<Load>) -> Self {
        Self {
            flights,
            key: key.into(),
            load,
            ended: false,
        }
    }

    /// Whether the result may be stored; if so, writes of the key wait until the end.
    pub(crate) fn may_store(&self) -> bool {
        self.load.queue.with(|phase| {
            if matches!(phase, Phase::Overtaken) {
                return false;
            }
            *phase = Phase::Storing;
            true
        })
    }

    /// Whether the key was written since.
    pub(crate) fn is_overtaken(&self) -> bool {
        let is_overtaken = |phase: &mut Phase| matches!(phase, Phase::Overtaken);
        self.load.queue.with(is_overtaken)
    }

    /// Answers all who wait.
    pub(crate) fn end(mut self, answer: Answer) {
        self.leave(Some(answer));
    }

    fn leave(&mut self, answer: Option<Answer>) {
        self.ended = true;
        let flights = &*self.flights;
        // A write may have taken it out, and another load be in its place.
        flights
            .loads
            .remove_if(&self.key, |_, load| Arc::ptr_eq(load, &self.load));
        // Release: pairs with the Acquire in `overtake`. A write that still counts this one only looks in vain.
        flights.loading.fetch_sub(1, Ordering::Release);
        self.load.queue.change(Phase::Ended(answer));
    }
}

impl<D: Deref<Target = Flights>> Drop for Leader<D> {
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
