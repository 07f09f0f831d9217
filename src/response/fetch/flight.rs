//! [`Flights`]: the handler runs once at a time for each key.
//!
//! The first request that misses *leads*: it runs the handler. Requests for the same that come meanwhile *follow*: they wait for the
//! leader to tell how the flight has [landed](Landing), check that the response may be theirs, and share it. A leader that has
//! nothing to share, because the handler failed or panicked or because the response may not be shared, releases all followers at
//! once. Each of them then runs the handler itself, side by side.
//!
//! Between a look into the store and the joining of a flight, another flight may store what was missed, and end. So whoever looks
//! notes beforehand how many flights [have landed](Flights::landed). A leader that finds that more have landed since looks again.

use crate::response::entry::stored_response::StoredResponse;
use crate::response::storage::purge_marks::PurgeMarks;
use crate::sync::{AtomicBool, AtomicU64, DashMap, Entry, Notify, OnceLock, Ordering};
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;

/// What a leader has for its followers.
#[derive(Debug, Clone)]
pub(crate) enum Landing {
    Shared(Arc<StoredResponse>),
    /// Nothing that can be shared: each runs the handler itself.
    Alone,
}

/// The handlers that are running.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    table: DashMap<Name, Arc<Flight>, ahash::RandomState>,
    alone: AtomicU64,
    landed: AtomicU64,
}

/// What the requests of a flight have in common. Followers check what they get, so a hash may stand for all that is not in the
/// key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    key: Arc<str>,
    request: u64,
    /// What purges of the key have left: who comes after a purge does not wait for those who came before it.
    purges: PurgeMarks,
    /// A number of its own for each flight that nobody can follow; 0 for the others.
    alone: u64,
}

#[derive(Debug, Default)]
struct Flight {
    landing: OnceLock<Landing>,
    over: AtomicBool,
    /// Rings when the leader has told, and when it is over.
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

/// Waits for a flight to land.
#[derive(Debug)]
pub(crate) struct Follower(Arc<Flight>);

/// Travels with the request that a leader sends on. A layer further in that shares these flights must not wait for this one.
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

    /// The name of the flight for those who ask for the same after the same purges.
    pub(crate) fn name(&self, key: &str, request: impl Hash, purges: PurgeMarks) -> Name {
        Name {
            key: key.into(),
            request: self.table.hasher().hash_one(request),
            purges,
            alone: 0,
        }
    }

    pub(crate) fn join(self: &Arc<Self>, name: Name) -> Joined {
        match self.table.entry(name.clone()) {
            Entry::Occupied(occupied) => Joined::Follows(Follower(Arc::clone(occupied.get()))),
            Entry::Vacant(vacant) => Joined::Leads(Leader {
                flights: Arc::clone(self),
                name,
                flight: Arc::clone(&vacant.insert(Arc::default())),
            }),
        }
    }

    /// Leads a flight that nobody follows.
    pub(crate) fn lead_alone(self: &Arc<Self>, mut name: Name) -> Leader {
        // Relaxed: the number only tells flights apart.
        name.alone = self.alone.fetch_add(1, Ordering::Relaxed) + 1;
        let flight = Arc::<Flight>::default();
        self.table.insert(name.clone(), Arc::clone(&flight));
        Leader {
            flights: Arc::clone(self),
            name,
            flight,
        }
    }

    /// Whether there is a flight of this name.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.table.contains_key(name)
    }

    /// How many flights have ended so far that had something to share, and have stored it.
    pub(crate) fn landed(&self) -> u64 {
        // Acquire: pairs with the Release in `Leader::drop`; who looks after this sees what they stored.
        self.landed.load(Ordering::Acquire)
    }

    /// How many flights there are.
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

    /// Tells the followers. Only the first call does.
    pub(crate) fn tell(&self, landing: Landing) {
        if self.flight.landing.set(landing).is_ok() {
            self.flight.news.notify_waiters();
        }
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let flight = &self.flight;
        if let Landing::Shared(_) = flight.landing.get_or_init(|| Landing::Alone) {
            // Release: pairs with the Acquire in `Flights::landed`. It comes before the flight leaves the table, so that the next
            // leader sees it.
            self.flights.landed.fetch_add(1, Ordering::Release);
        }
        self.flights.table.remove(&self.name);
        // Release: pairs with the Acquire in `Follower::ended`.
        flight.over.store(true, Ordering::Release);
        flight.news.notify_waiters();
    }
}

impl Follower {
    pub(crate) async fn landing(&self) -> Landing {
        self.wait_for(|flight| flight.landing.get().cloned()).await
    }

    /// Waits until the leader has done all it has to do.
    pub(crate) async fn ended(&self) {
        // Acquire: pairs with the Release in `Leader::drop`.
        let is_over = |flight: &Flight| flight.over.load(Ordering::Acquire).then_some(());
        self.wait_for(is_over).await;
    }

    async fn wait_for<T>(&self, look: impl Fn(&Flight) -> Option<T>) -> T {
        loop {
            // We queue before the look, so that no news is lost in between.
            let mut news = pin!(self.0.news.notified());
            news.as_mut().enable();
            match look(&self.0) {
                Some(found) => return found,
                None => news.await,
            }
        }
    }
}
