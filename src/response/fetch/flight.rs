//! One run of the handler for each key at a time.
//!
//! The first request that misses *leads*: it runs the handler. Requests for the same that come meanwhile *follow*: they wait
//! for the outcome, check that it may be theirs, and share it. A leader that ends without one (the handler failed or panicked,
//! the response may not be shared) releases all followers at once, and each runs the handler itself, side by side.
//!
//! Between a look into the store and the joining of a flight, another flight may store what was missed, and end. So whoever
//! looks notes beforehand how many [have landed](Flights::landed); one that leads although more have by then looks again.

use crate::response::entry::stored_response::Entry;
use crate::sync::{AtomicBool, AtomicU64, DashMap, Entry as Slot, Notify, OnceLock, Ordering};
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;

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
    table: DashMap<Name, Arc<Flight>, ahash::RandomState>,
    alone: AtomicU64,
    landed: AtomicU64,
}

/// What the requests of a flight have in common. Followers check the outcome, so that a number may stand for all that is not in
/// the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    key: Arc<str>,
    request: u64,
    /// Stamps of the key's purges: who comes after one waits for nobody who came before.
    purges: [u64; 2],
    /// Another one for each that nobody follows; 0 for the others.
    alone: u64,
}

#[derive(Debug, Default)]
struct Flight {
    outcome: OnceLock<Outcome>,
    over: AtomicBool,
    /// When there is an outcome, and when it is over.
    news: Notify,
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
    name: Name,
    flight: Arc<Flight>,
}

/// Waits for a flight's outcome.
#[derive(Debug)]
pub(crate) struct Follower(Arc<Flight>);

/// Goes with the request that a leader sends on: a layer of the same flights further in must not wait for this one.
#[derive(Debug, Clone)]
pub(crate) struct Aboard {
    flights: Arc<Flights>,
    key: Arc<str>,
}

impl Flights {
    /// Whether a request for this key comes from inside a flight for it.
    pub(crate) fn carries(self: &Arc<Self>, aboard: &Aboard, key: &str) -> bool {
        Arc::ptr_eq(self, &aboard.flights) && *aboard.key == *key
    }

    /// The name for those who ask for the same, after the same purges of it.
    pub(crate) fn name(&self, key: &str, request: impl Hash, purges: [u64; 2]) -> Name {
        Name {
            key: key.into(),
            request: self.table.hasher().hash_one(request),
            purges,
            alone: 0,
        }
    }

    pub(crate) fn join(self: &Arc<Self>, name: Name) -> Joined {
        match self.table.entry(name.clone()) {
            Slot::Occupied(there) => Joined::Follows(Follower(Arc::clone(there.get()))),
            Slot::Vacant(place) => Joined::Leads(Leader {
                flights: Arc::clone(self),
                name,
                flight: Arc::clone(&place.insert(Arc::default())),
            }),
        }
    }

    /// Leads a flight that nobody follows.
    pub(crate) fn lead_alone(self: &Arc<Self>, mut name: Name) -> Leader {
        // Relaxed: only to tell them apart.
        name.alone = self.alone.fetch_add(1, Ordering::Relaxed) + 1;
        let flight = Arc::<Flight>::default();
        self.table.insert(name.clone(), Arc::clone(&flight));
        Leader {
            flights: Arc::clone(self),
            name,
            flight,
        }
    }

    /// Whether there is one of this name.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.table.contains_key(name)
    }

    /// How many flights have ended so far with something to share, and have stored it.
    pub(crate) fn landed(&self) -> u64 {
        // Acquire: pairs with the Release in `Leader::drop`; what they stored is seen by who looks after this.
        self.landed.load(Ordering::Acquire)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table.len()
    }
}

impl Leader {
    /// Whether nobody can follow.
    pub(crate) fn is_alone(&self) -> bool {
        self.name.alone != 0
    }

    pub(crate) fn key(&self) -> &Arc<str> {
        &self.name.key
    }

    pub(crate) fn aboard(&self) -> Aboard {
        Aboard {
            flights: Arc::clone(&self.flights),
            key: Arc::clone(&self.name.key),
        }
    }

    /// Tells the followers; only once.
    pub(crate) fn tell(&self, outcome: Outcome) {
        if self.flight.outcome.set(outcome).is_ok() {
            self.flight.news.notify_waiters();
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let flight = &self.flight;
        if let Outcome::Shared(_) = flight.outcome.get_or_init(|| Outcome::Alone) {
            // Release: pairs with the Acquire in `Flights::landed`. Before the table is left: who leads next sees it.
            self.flights.landed.fetch_add(1, Ordering::Release);
        }
        self.flights.table.remove(&self.name);
        // Release: pairs with the Acquire in `Follower::ended`.
        flight.over.store(true, Ordering::Release);
        flight.news.notify_waiters();
    }
}

impl Follower {
    pub(crate) async fn outcome(&self) -> Outcome {
        self.wait_for(|flight| flight.outcome.get().cloned()).await
    }

    /// Waits until the leader has done all it has to do.
    pub(crate) async fn ended(&self) {
        // Acquire: pairs with the Release in `Leader::drop`.
        let is_over = |flight: &Flight| flight.over.load(Ordering::Acquire).then_some(());
        self.wait_for(is_over).await;
    }

    async fn wait_for<T>(&self, look: impl Fn(&Flight) -> Option<T>) -> T {
        loop {
            // In line before the look, so that no news comes between.
            let mut news = pin!(self.0.news.notified());
            news.as_mut().enable();
            match look(&self.0) {
                Some(seen) => return seen,
                None => news.await,
            }
        }
    }
}
