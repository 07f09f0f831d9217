//! One run of the handler for each key at a time.
//!
//! The first request that misses *leads*: its handler runs on a task of its own. Requests for the same that come meanwhile
//! *follow*: they wait for the outcome, check that it may be theirs, and share it. A leader that ends without one (the handler failed or panicked, the
//! response may not be shared) releases all followers at once, and each runs the handler itself, side by side.

use super::stored::Entry;
use crate::sync::{AtomicU64, Ordering};
use dashmap::{DashMap, Entry as Slot};
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::watch;

/// What a leader ends with.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Shared(Arc<Entry>),
    /// Nothing that can be shared.
    Alone,
}

/// The handlers that run.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    table: DashMap<Box<str>, Arc<Flight>, ahash::RandomState>,
    alone: AtomicU64,
}

#[derive(Debug, Default)]
struct Flight {
    outcome: watch::Sender<Option<Outcome>>,
}

/// What a request is to a flight.
#[derive(Debug)]
pub(crate) enum Joined {
    Leads(Leader),
    Follows(Follower),
}

/// Leads a flight; ends it when dropped.
#[derive(Debug)]
pub(crate) struct Leader {
    flights: Arc<Flights>,
    key: Box<str>,
    flight: Arc<Flight>,
}

/// Waits for a flight's outcome.
#[derive(Debug)]
pub(crate) struct Follower(watch::Receiver<Option<Outcome>>);

impl Flights {
    pub(crate) fn join(self: &Arc<Self>, key: String) -> Joined {
        match self.table.entry(key.into_boxed_str()) {
            Slot::Occupied(there) => Joined::Follows(Follower(there.get().outcome.subscribe())),
            Slot::Vacant(place) => Joined::Leads(Leader {
                flights: Arc::clone(self),
                key: place.key().clone(),
                flight: Arc::clone(&place.insert(Arc::default())),
            }),
        }
    }

    /// Leads a flight that nobody follows.
    pub(crate) fn lead_alone(self: &Arc<Self>, mut key: String) -> Leader {
        // Relaxed: only to tell them apart.
        let number = self.alone.fetch_add(1, Ordering::Relaxed);
        let _ = write!(key, "\0{number}");
        let key = key.into_boxed_str();
        let flight = Arc::<Flight>::default();
        self.table.insert(key.clone(), Arc::clone(&flight));
        Leader {
            flights: Arc::clone(self),
            key,
            flight,
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table.len()
    }
}

impl Leader {
    /// Tells the followers.
    pub(crate) fn tell(&self, outcome: Outcome) {
        self.flight.outcome.send_replace(Some(outcome));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.flights.table.remove(&self.key);
        self.flight.outcome.send_if_modified(|outcome| {
            let untold = outcome.is_none();
            outcome.get_or_insert(Outcome::Alone);
            untold
        });
    }
}

impl Follower {
    pub(crate) async fn outcome(&mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Outcome::Alone),
            Err(_) => Outcome::Alone,
        }
    }

    /// Waits until the leader has done all it has to do.
    pub(crate) async fn ended(&mut self) {
        while self.0.changed().await.is_ok() {}
    }
}
