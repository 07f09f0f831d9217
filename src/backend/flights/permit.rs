//! Permits to run loaders: how many loads go on at a time, where a backend has a limit.
//!
//! Who leads asks for one before it calls its loader, and has it until the loader has ended: not while it waits for the loads of
//! others. A load inside a loader of the same backend needs none, as its caller has one, which would otherwise wait for itself. That is
//! not all there is to circles: a loader may wait for the load of another, who waits for the permit that the first one has. So a wait
//! for a permit is in the [wait graph](crate::flights::wait_graph), and who would wait in a circle goes ahead without.

use super::{Ended, Event, Flights, Work};
use crate::error::Error;
use crate::flights::wait_graph::{Held, Inside, Node};
use crate::flights::{
    self,
    permits::{self, Permits},
};

/// What lets a loader run, until this is dropped.
#[derive(Debug)]
#[must_use = "the loader runs while this lives"]
pub(crate) struct Permit<'f> {
    /// What is held goes first: who gets the permit next is the one to be waited for.
    _taken: Option<(Held, permits::Permit<'f>)>,
}

impl Flights {
    /// As it is, with a limit for how many loaders run at a time, at least one. Others wait for that in the order they came, as long as
    /// the [patience](Self::patience) lasts; if so many wait already, a load fails with
    /// [`is_overloaded`](crate::Error::is_overloaded). Without this there is no limit.
    ///
    /// Only those who load count: not those who wait for the load of another, and not a load inside another's loader.
    ///
    /// ```
    /// use nori_cache::Flights;
    /// use std::time::Duration;
    ///
    /// let flights = Flights::with_patience(Duration::from_secs(5)).with_max_loads(16, 1_000);
    /// assert_eq!(flights.patience(), Duration::from_secs(5));
    /// ```
    pub fn with_max_loads(mut self, max_loads: usize, max_waiting: usize) -> Self {
        self.permits = Some(Permits::new(max_loads.max(1), max_waiting));
        self
    }

    /// Waits until the loader of these keys may run: to be called by who leads them, right before the loader.
    ///
    /// # Errors
    /// [`Error::is_overloaded`] if too many wait already, [`Error::is_timeout`] if the patience is over. The error is for all who wait
    /// for these loads: the more there are, the less can each of them be let try.
    pub(crate) async fn permit(&self, keys: &[&str]) -> Result<Permit<'_>, Error> {
        let none = Permit { _taken: None };
        let Some(permits) = &self.permits else {
            return Ok(none);
        };
        let own = std::ptr::from_ref(self).addr();
        if Inside::depth(|node| (node.0, node.2) == (own, Work::Load)) > 0 {
            return Ok(none);
        }
        let loads: Vec<Node> = keys.iter().map(|key| self.node(key, Work::Load)).collect();
        let all: Node = (own, 0, Work::Permit);
        let wait = self.bounded(self.deadline(), || Some(all), permits.take());
        match flights::inside(&loads, wait).await {
            Ok(Some(permit)) => {
                let held = Held::enter(all, loads);
                Ok(Permit {
                    _taken: Some((held, permit)),
                })
            }
            Ok(None) => {
                self.tally().count(Event::Overloaded);
                let (most, waiting) = permits.limits();
                let text = format!("{most} loads are under way, and {waiting} wait");
                Err(Error::overloaded(text))
            }
            // A load that has a permit waits for this one.
            Err(Ended::Circular) => Ok(none),
            Err(Ended::Late) => {
                let text = format!("waited to be let load for {:?}", self.patience);
                Err(Error::timeout(text))
            }
        }
    }
}
