//! [`Flights`]: the loads and updates under way on a backend, in this process.
//!
//! # Loads
//! The first caller that misses a key *leads*: it registers a [`Load`] in the table, loads, stores the result if nobody
//! stands against it, and publishes it. Callers that come meanwhile find the load and wait for it. A leader that is dropped or
//! panics abandons its load; those who waited look again, and one of them leads.
//!
//! # Writes win over loads
//! What was written (set, deleted, flushed) while a load was going on must not be overwritten by it, however the two interleave
//! with the store. So a write announces itself before it touches the store and takes its leave afterwards, and both times
//! invalidates the loads of its keys. Let L be a load and W a write of the same key that overlap:
//!
//! * Each counts itself in the key's stripe, one word for both counts, so one of the two sees the other. L registers in the
//!   table before it counts itself, so if W was second it finds L in the table, and invalidates it.
//! * If L was second, it knows that some write of the stripe was under way, and holds itself for *suspect*. Before it stores it
//!   looks again. If no write is under way any more, W has ended, and invalidated L if it came upon it; if one is, it may be W,
//!   and L does not store.
//! * If W comes when L is already storing, it waits until L has stored, and then writes.
//!
//! In each case W's write comes after L's, or L's does not take place. An invalidated load still answers those who wait for it, but
//! it leaves the table: who comes after the write has ended loads afresh.
//!
//! Increments and updates need none of this: a load stores only where there is still nothing, in one step.
//!
//! # Updates
//! Updates of a key take turns ([`Turn`]), because optimistic writers that collide only make each other try again. A turn is
//! no lock: it keeps nobody else from writing the key.
//!
//! # Inside
//! A closure that loads or updates the key it is called for would wait for itself. So each closure runs inside [`Flights::inside`],
//! which lets such a call know; it then goes ahead on its own.

mod load;
mod turn;

pub(super) use load::{Leader, Load};
pub(super) use turn::Turn;

use crate::sync::{AtomicU64, CachePadded, Ordering};
use dashmap::{DashMap, Entry};
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use turn::Queue;

/// A power of two, large enough that few writes share a stripe with the load of another key.
const STRIPES: usize = 64;
/// One write under way, in a stripe's word.
const WRITE: u64 = 1 << 32;
/// One load under way, in a stripe's word: the low half.
const LOAD: u64 = 1;

/// The loads and updates under way on a backend, in this process. Each backend has one: a field that starts as
/// [`Flights::default`] and that [`CacheBackend::flights`](super::CacheBackend::flights) returns.
pub struct Flights {
    loads: DashMap<Box<str>, Arc<Load>, ahash::RandomState>,
    turns: DashMap<Box<str>, Arc<Queue>, ahash::RandomState>,
    /// Writes and loads under way, by the hash of their key.
    stripes: Box<[CachePadded<AtomicU64>]>,
    hasher: ahash::RandomState,
}

/// What a write is about to change.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope<'k> {
    Key(&'k str),
    Keys(&'k [&'k str]),
    All,
}

/// A write under way: from before it touches the store until it has.
#[must_use]
pub(super) struct Writing<'f> {
    flights: &'f Flights,
    scope: Scope<'f>,
}

/// What a caller is to a load of its key.
pub(super) enum Joined<'f> {
    Leads(Leader<'f>),
    Waits(Arc<Load>),
}

thread_local! {
    /// The closures that this thread is in, as [`Flights::inside`] names them.
    static INSIDE: RefCell<Vec<(usize, u64)>> = const { RefCell::new(Vec::new()) };
}

impl Flights {
    /// Announces a write; when this returns, no load of its keys is storing, and none that is under way will.
    pub(super) async fn write<'f>(&'f self, scope: Scope<'f>) -> Writing<'f> {
        // Made first: if the caller is dropped while it waits, the write takes its leave.
        let writing = Writing {
            flights: self,
            scope,
        };
        self.for_each_stripe(scope, |stripe| {
            // SeqCst: one order of all announcements; see the module.
            stripe.fetch_add(WRITE, Ordering::SeqCst);
        });
        for load in self.invalidate(scope) {
            load.stored().await;
        }
        writing
    }

    /// Leads the load of a key, or waits for who does.
    pub(super) fn join(&self, key: &str) -> Joined<'_> {
        let load = match self.loads.entry(key.into()) {
            Entry::Occupied(there) => return Joined::Waits(Arc::clone(there.get())),
            Entry::Vacant(place) => Arc::clone(&place.insert(Arc::default())),
        };
        // SeqCst: after the load is in the table; see the module.
        let before = self.stripe(key).fetch_add(LOAD, Ordering::SeqCst);
        Joined::Leads(Leader::new(self, key, load, before >= WRITE))
    }

    /// Waits for the turn to update a key.
    pub(super) async fn turn(&self, key: &str) -> Turn<'_> {
        let mut turn = match self.turns.entry(key.into()) {
            Entry::Occupied(there) => Turn::join(self, key, there.get()),
            Entry::Vacant(place) => Turn::join(self, key, &place.insert(Arc::default())),
        };
        turn.taken().await;
        turn
    }

    /// Runs a closure's future so that [`Flights::is_inside`] tells it which key it works on.
    pub(super) async fn inside<F: Future>(&self, key: &str, future: F) -> F::Output {
        let name = self.name(key);
        let mut future = pin!(future);
        poll_fn(|context| {
            let _inside = Inside::enter(name);
            future.as_mut().poll(context)
        })
        .await
    }

    /// Whether the caller runs in a closure that loads or updates this very key.
    pub(super) fn is_inside(&self, key: &str) -> bool {
        INSIDE.with_borrow(|inside| !inside.is_empty() && inside.contains(&self.name(key)))
    }

    fn name(&self, key: &str) -> (usize, u64) {
        (std::ptr::from_ref(self).addr(), self.hasher.hash_one(key))
    }

    /// Invalidates the loads of some keys and returns those that are storing.
    fn invalidate(&self, scope: Scope<'_>) -> Vec<Arc<Load>> {
        let mut storing = Vec::new();
        let mut keep = |load: &Arc<Load>| {
            let is_storing = load.invalidate();
            if is_storing {
                storing.push(Arc::clone(load));
            }
            is_storing
        };
        let mut one = |key: &str| {
            // SeqCst: see the module. Nothing to do for nearly every write.
            if self.stripe(key).load(Ordering::SeqCst) & (WRITE - 1) != 0 {
                self.loads.remove_if(key, |_, load| !keep(load));
            }
        };
        match scope {
            Scope::Key(key) => one(key),
            Scope::Keys(keys) => keys.iter().for_each(|key| one(key)),
            Scope::All => self.loads.retain(|_, load| keep(load)),
        }
        storing
    }

    fn for_each_stripe(&self, scope: Scope<'_>, each: impl Fn(&AtomicU64)) {
        match scope {
            Scope::Key(key) => each(self.stripe(key)),
            Scope::Keys(keys) => keys.iter().for_each(|key| each(self.stripe(key))),
            Scope::All => self.stripes.iter().for_each(|stripe| each(stripe)),
        }
    }

    fn stripe(&self, key: &str) -> &AtomicU64 {
        &self.stripes[self.hasher.hash_one(key) as usize % STRIPES]
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        // Those that began meanwhile, and may have read what was there before. One that is storing by now was not suspect:
        // it began before this write did, and the write has waited for it.
        self.flights.invalidate(self.scope);
        self.flights.for_each_stripe(self.scope, |stripe| {
            // SeqCst: after the loads are invalidated; see the module.
            stripe.fetch_sub(WRITE, Ordering::SeqCst);
        });
    }
}

/// On the thread's list of closures for as long as it lives.
struct Inside;

impl Inside {
    fn enter(name: (usize, u64)) -> Self {
        INSIDE.with_borrow_mut(|inside| inside.push(name));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(|inside| inside.pop());
    }
}

impl Default for Flights {
    fn default() -> Self {
        let hasher = ahash::RandomState::new();
        Self {
            loads: DashMap::with_hasher(hasher.clone()),
            turns: DashMap::with_hasher(hasher.clone()),
            stripes: (0..STRIPES).map(|_| CachePadded::default()).collect(),
            hasher,
        }
    }
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights")
            .field("loads", &self.loads.len())
            .field("updates", &self.turns.len())
            .finish()
    }
}
