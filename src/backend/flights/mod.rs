//! [`Flights`]: the loads and updates under way on a backend, in this process.
//!
//! # Loads
//! The first caller that misses a key *leads*: it registers a [`Load`] in the table, loads, stores the result unless a write has
//! overtaken the load, and publishes it. Callers that come meanwhile, the *followers*, find the load and wait for it. A leader that
//! is dropped or panics abandons its load; its followers look again, and one of them leads. `backend/load` is what
//! makes loads.
//!
//! A call that [loads many keys](crate::backend::load_many) joins all of them first, leads those that nobody loads, each with a load of
//! its own, ends them with one call of its loader, and only then waits for those that others load. So calls that want the same keys in
//! different orders do not wait for each other, and for a key it makes no difference how many others are loaded with it.
//!
//! Where a backend has a limit for loads, a leader asks for a [permit](Flights::permit) before it calls its loader.
//!
//! # Writes win over loads
//! What was set, deleted or flushed while a load was going on must not be overwritten by it. So a write, before it touches the
//! store, [overtakes](Flights::overtake) the loads of its keys that are under way: they will not store. One that is storing
//! just then is waited for, and its result written over.
//!
//! A load that the write does not find in the table began after the write did. Then it reads what the write's caller did before,
//! and need not be overtaken. To make that so, a write asks the table behind a fence, and a load passes a fence when it is in the
//! table and has read nothing yet; the two pair: either the load reads what the write's caller did, or the write finds the load.
//! (A set needs no more than that: a load stores only where there still is what its leader found, in one step.) This holds for what
//! is loaded, not for what a leader still finds in the store, which the write may be about to remove: that is for the leader alone.
//!
//! A load that was overtaken still answers its followers, but it leaves the table: callers that come after the write load afresh.
//!
//! Increments and updates need none of this, for the same reason.
//!
//! A leader may own its flights, with the backend, and lead in the background. All this holds for it as for any other.
//!
//! # Updates
//! Updates of a key take turns ([`Turn`]), because optimistic writers that collide only make each other try again. A turn is
//! no lock: it keeps nobody else from writing the key. [`atomic_update`] is the call.
//!
//! # No wait is for ever
//! A closure that loads or updates the key it is called for would wait for itself, and two that load each other's keys for each
//! other. So each closure runs inside [`Flights::inside`]. A caller that would wait in a circle of the [`wait_graph`](crate::flights::wait_graph) is told so,
//! and goes ahead on its own. Where the graph sees no circle (a closure that waits for a task it spawned, a leader that nobody
//! polls) there is a bound: nobody waits longer than the [patience](Flights::with_patience).

#[cfg(not(nori_loom))]
pub(crate) mod atomic_update;
mod background;
#[cfg(not(nori_loom))]
mod counted;
mod failures;
#[cfg(not(nori_loom))]
mod limits;
mod load;
mod permit;
mod tally;
mod turn;

pub(crate) use crate::flights::wait_graph::Work;
pub(crate) use background::Permit;
pub(crate) use failures::{Failure, Failures};
#[cfg(not(nori_loom))]
pub(crate) use limits::LoadLimits;
pub(crate) use load::{Leader, Load};
pub use tally::LoadCounts;
pub(crate) use tally::{Event, Tally};
pub(crate) use turn::Turn;

use super::undecodable::Counters;
use super::{Value, alarm};
use crate::cache::LoadCounters;
use crate::error::Error;
use crate::flights;
use crate::flights::permits::Permits;
use crate::flights::wait_graph::{Inside, Node};
use crate::sync::{AtomicU64, AtomicUsize, DashMap, Entry, Ordering, fence};
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};
use turn::Turns;

/// How long anybody waits for another's load or update, unless configured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The loads and updates under way on a backend, in this process. Each backend has one: a field that starts as
/// [`Flights::default`] and that [`CacheBackend::flights`](super::CacheBackend::flights) returns.
pub struct Flights {
    loads: DashMap<Box<str>, Arc<Load>, ahash::RandomState>,
    turns: DashMap<Box<str>, Arc<Turns>, ahash::RandomState>,
    /// How many loads are in the table or about to be. At zero, writes need not look.
    loading: AtomicUsize,
    hasher: ahash::RandomState,
    patience: Duration,
    /// For loaders; `None` without a limit.
    permits: Option<Permits>,
    undecodable: Counters,
    tally: Tally,
    failures: Failures,
    in_background: AtomicUsize,
    /// How many random numbers there were.
    drawn: AtomicU64,
    counted: LoadCounters,
    /// Keys that leaders missed again, when they looked for one, and for many.
    missed_again: [AtomicU64; 2],
    traces_keys: bool,
}

/// What a write is about to change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'k> {
    Key(&'k str),
    Keys(&'k [&'k str]),
    All,
}

/// What a caller is to a load of its key.
pub(crate) enum Joined<D: Deref<Target = Flights>> {
    Leads(Leader<D>),
    Follows(Arc<Load>),
}

/// Why somebody does not wait to the end.
#[derive(Debug)]
pub(crate) enum Stuck {
    /// It would wait for itself, by some way round.
    Circular,
    Late(Error),
}

impl Flights {
    /// As [`Flights::default`], with another limit than a minute for how long a call waits for a load or an update of its key
    /// that is another's. More than a day counts as a day; with none at all nobody waits. It goes by the system's clock.
    ///
    /// ```
    /// use nori_cache::Flights;
    /// use std::time::Duration;
    ///
    /// let flights = Flights::with_patience(Duration::from_secs(5));
    /// assert_eq!(flights.patience(), Duration::from_secs(5));
    /// ```
    pub fn with_patience(patience: Duration) -> Self {
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        Self {
            patience: patience.min(LONGEST),
            ..Self::default()
        }
    }

    /// Whether spans name keys.
    pub(crate) fn tracing_keys(mut self, traces_keys: bool) -> Self {
        self.traces_keys = traces_keys;
        self
    }

    /// The key, if it may be told.
    pub(crate) fn traced<'k>(&self, key: &'k str) -> Option<&'k str> {
        self.traces_keys.then_some(key)
    }

    /// How long a call waits at most for a load or an update of its key that is another's.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Reads that found what they could not decode. They are counted here because every backend has one of these.
    pub(crate) fn undecodable(&self) -> &Counters {
        &self.undecodable
    }

    /// What became of loads.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    pub(crate) fn load_counts(&self) -> LoadCounts {
        // Relaxed: a number to look at.
        self.tally
            .snapshot(self.in_background.load(Ordering::Relaxed))
    }

    /// Loads that failed lately.
    pub(crate) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// A random number from 0 to 1: for spreading times, not for secrets.
    pub(crate) fn random_share(&self) -> f64 {
        // Relaxed: that two callers get the same number does no harm.
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let bits = self.hasher.hash_one(drawn) >> (64 - f64::MANTISSA_DIGITS);
        bits as f64 / (1_u64 << f64::MANTISSA_DIGITS) as f64
    }

    /// What became of loads. See [`Flights::load`].
    pub(crate) fn loads(&self) -> &LoadCounters {
        &self.counted
    }

    /// When the patience of a caller that begins to wait now is over.
    pub(crate) fn deadline(&self) -> Instant {
        alarm::after(self.patience)
    }

    /// Keeps the loads of some keys from storing what they load: to be called before a write of these keys.
    ///
    /// # Errors
    /// [`Error::is_timeout`], with the key, if the result of a load is being stored and that does not end. The write must not go
    /// ahead: what is being stored could come after it.
    pub(crate) async fn overtake(
        &self,
        scope: Scope<'_>,
        write: &'static str,
    ) -> Result<(), Error> {
        // SeqCst: pairs with the fence in `join`; either the load reads what this caller did, or we find the load.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release in `Leader::leave`; the write sees what loads have stored that are over by now. Nearly
        // always there is nothing to do.
        if self.loading.load(Ordering::Acquire) == 0 {
            return Ok(());
        }
        let deadline = self.deadline();
        for (key, load) in self.invalidate(scope) {
            let stored = self.bounded(deadline, || None, load.stored()).await;
            if stored.is_err() {
                let text = format!("a load is still being stored after {:?}", self.patience);
                return Err(Error::timeout(text).during(write, Some(&key)));
            }
        }
        Ok(())
    }

    /// Leads the load of a key, or follows its leader. For as long as it leads, a leader holds the flights as it got them.
    pub(crate) fn join<D: Deref<Target = Self>>(flights: D, key: &str) -> Joined<D> {
        let load = match flights.loads.entry(key.into()) {
            Entry::Occupied(there) => return Joined::Follows(Arc::clone(there.get())),
            Entry::Vacant(vacant) => {
                // Relaxed: the fence orders it. It is counted before it can be found, so that it is never counted off first.
                flights.loading.fetch_add(1, Ordering::Relaxed);
                Arc::clone(&vacant.insert(Arc::default()))
            }
        };
        // SeqCst: pairs with the fence in `overtake`; either we read what the write's caller did, or the write finds us.
        fence(Ordering::SeqCst);
        Joined::Leads(Leader::new(flights, key, load))
    }

    /// Whether somebody loads this key.
    pub(crate) fn is_loading(&self, key: &str) -> bool {
        // Acquire: as in `overtake`. Who joins after all is told then.
        self.loading.load(Ordering::Acquire) != 0 && self.loads.contains_key(key)
    }

    /// Waits for what a load comes to; `None` if its leader gave up.
    pub(crate) async fn answer(
        &self,
        key: &str,
        load: &Load,
        deadline: Instant,
    ) -> Result<Option<load::Answer>, Stuck> {
        let enter = || Some(self.node(key, Work::Load));
        let answer = self.bounded(deadline, enter, load.answer()).await;
        if let Ok(Some(Ok(_))) = answer {
            self.counted.coalesced();
        }
        answer.map_err(|ended| self.named(ended, "the load of another"))
    }

    /// Waits for the turn to update a key. With it comes what the last update has stored, if that is known.
    pub(crate) async fn turn(&self, key: &str) -> Result<(Turn<'_>, Option<Value>), Stuck> {
        let turn = match self.turns.entry(key.into()) {
            Entry::Occupied(there) => Turn::join(self, key, there.get()),
            Entry::Vacant(vacant) => Turn::join(self, key, &vacant.insert(Arc::default())),
        };
        let enter = || Some(self.node(key, Work::Update));
        let taken = self.bounded(self.deadline(), enter, turn.taken()).await;
        match taken {
            Ok(stored) => Ok((turn, stored)),
            Err(ended) => Err(self.named(ended, "the updates of others")),
        }
    }

    /// Runs a closure's future so that [`Flights::is_nested`] and the waits inside it know which key it works on.
    pub(crate) async fn inside<F: Future>(&self, work: Work, key: &str, future: F) -> F::Output {
        flights::inside(&[self.node(key, work)], future).await
    }

    /// As [`Flights::inside`], of a closure that works on many keys.
    pub(crate) async fn inside_all<F: Future>(
        &self,
        work: Work,
        keys: &[&str],
        future: F,
    ) -> F::Output {
        let nodes: Vec<Node> = keys.iter().map(|key| self.node(key, work)).collect();
        flights::inside(&nodes, future).await
    }

    /// Whether the caller runs inside a closure that loads or updates this very key: then it must not wait for it.
    ///
    /// # Errors
    /// [`Error::is_circular`] if it runs inside more than one.
    pub(crate) fn is_nested(&self, key: &str) -> Result<bool, Error> {
        if Inside::is_none() {
            return Ok(false);
        }
        let (flights, hash, _) = self.node(key, Work::Load);
        match Inside::depth(|node| (node.0, node.1) == (flights, hash)) {
            0 => Ok(false),
            1 => Ok(true),
            _ => {
                let text = "it is part of what it loads or updates, more than once";
                Err(Error::circular(text))
            }
        }
    }

    fn node(&self, key: &str, work: Work) -> Node {
        let flights = std::ptr::from_ref(self).addr();
        (flights, self.hasher.hash_one(key), work)
    }

    /// Waits until the deadline at most, and not at all if the wait would be for ever. `node` is what is waited for, if that is
    /// somebody's closure.
    async fn bounded<F: Future>(
        &self,
        deadline: Instant,
        node: impl Fn() -> Option<Node>,
        wait: F,
    ) -> Result<F::Output, Ended> {
        let checked = async {
            match node() {
                Some(node) => flights::unless_circular(node, wait)
                    .await
                    .ok_or(Ended::Circular),
                None => Ok(wait.await),
            }
        };
        let output = alarm::until(deadline, checked).await;
        output.unwrap_or(Err(Ended::Late))
    }

    fn named(&self, ended: Ended, what: &str) -> Stuck {
        match ended {
            Ended::Circular => Stuck::Circular,
            Ended::Late => {
                let text = format!("waited for {what} for {:?}", self.patience);
                Stuck::Late(Error::timeout(text))
            }
        }
    }

    /// Takes the loads of some keys out of the table, except those that are storing, which it returns.
    fn invalidate(&self, scope: Scope<'_>) -> Vec<(Box<str>, Arc<Load>)> {
        let mut storing = Vec::new();
        let mut keep = |key: &str, load: &Arc<Load>| {
            let is_storing = load.invalidate();
            if is_storing {
                storing.push((key.into(), Arc::clone(load)));
            }
            is_storing
        };
        let mut one = |key: &str| {
            self.loads.remove_if(key, |_, load| !keep(key, load));
        };
        match scope {
            Scope::Key(key) => one(key),
            Scope::Keys(keys) => keys.iter().for_each(|key| one(key)),
            Scope::All => self.loads.retain(|key, load| keep(key, load)),
        }
        storing
    }
}

/// Why a wait has no output.
enum Ended {
    Circular,
    Late,
}

impl Default for Flights {
    fn default() -> Self {
        let hasher = ahash::RandomState::new();
        Self {
            loads: DashMap::with_hasher(hasher.clone()),
            turns: DashMap::with_hasher(hasher.clone()),
            loading: AtomicUsize::new(0),
            hasher,
            patience: PATIENCE,
            permits: None,
            undecodable: Counters::default(),
            tally: Tally::default(),
            failures: Failures::default(),
            in_background: AtomicUsize::new(0),
            drawn: AtomicU64::new(0),
            counted: LoadCounters::default(),
            missed_again: Default::default(),
            traces_keys: false,
        }
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Flights");
        shown.field("loads", &self.loads.len());
        shown.field("updates", &self.turns.len());
        if let Some(permits) = &self.permits {
            shown.field("permits", &permits.taken());
        }
        shown.finish()
    }
}
