//! [`Flights`]: the loads and updates under way on a backend, in this process.
//!
//! # Loads
//! The first caller that misses a key *leads*: it registers a [`Load`] in the table, loads, stores the result if nobody
//! stands against it, and publishes it. Callers that come meanwhile find the load and wait for it. A leader that is dropped or
//! panics abandons its load; those who waited look again, and one of them leads.
//!
//! # Writes win over loads
//! What was set, deleted or flushed while a load was going on must not be overwritten by it. So a write, before it touches the
//! store, [overtakes](Flights::overtake) the loads of its keys that are under way: they will not store. One that is storing
//! just then is waited for, and its result written over.
//!
//! A load that the write does not come upon began after the write did: then it reads what the caller of the write did before,
//! and is none to be overtaken. For that, the table is asked behind a fence that pairs with one which a load passes when it is
//! in the table and before it reads anything: of a load and a write, either the load reads what the write's caller did, or the
//! write finds the load. (A set needs no more either: loads store only where there is nothing.) That goes for what is loaded,
//! not for what a leader still finds in the store, which the write may be about to remove: it is for the leader alone.
//!
//! A load that was overtaken still answers those who wait for it, but it leaves the table: who comes after the write loads
//! afresh.
//!
//! Increments and updates need none of this: a load stores only where there is still nothing, in one step.
//!
//! # Updates
//! Updates of a key take turns ([`Turn`]), because optimistic writers that collide only make each other try again. A turn is
//! no lock: it keeps nobody else from writing the key.
//!
//! # Inside
//! A closure that loads or updates the key it is called for would wait for itself. So each closure runs inside
//! [`Flights::inside`], which lets such a call know; it then goes ahead on its own.

mod load;
mod turn;

pub(crate) use load::{Leader, Load};
pub(crate) use turn::Turn;

use crate::sync::{AtomicUsize, DashMap, Entry, Ordering, fence};
use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use turn::Queue;

/// The loads and updates under way on a backend, in this process. Each backend has one: a field that starts as
/// [`Flights::default`] and that [`CacheBackend::flights`](super::CacheBackend::flights) returns.
pub struct Flights {
    loads: DashMap<Box<str>, Arc<Load>, ahash::RandomState>,
    turns: DashMap<Box<str>, Arc<Queue>, ahash::RandomState>,
    /// How many loads are in the table or about to be: zero tells writes that they need not look.
    loading: AtomicUsize,
    hasher: ahash::RandomState,
}

/// What a write is about to change.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scope<'k> {
    Key(&'k str),
    Keys(&'k [&'k str]),
    All,
}

/// What a caller is to a load of its key.
pub(crate) enum Joined<'f> {
    Leads(Leader<'f>),
    Waits(Arc<Load>),
}

thread_local! {
    /// The closures that this thread is in, as [`Flights::inside`] names them.
    static INSIDE: RefCell<Vec<(usize, u64)>> = const { RefCell::new(Vec::new()) };
}

impl Flights {
    /// Keeps the loads of some keys from storing what they load: to be called before a write of these keys.
    pub(crate) async fn overtake(&self, scope: Scope<'_>) {
        // SeqCst: pairs with the fence in `join`; see the module.
        fence(Ordering::SeqCst);
        // Relaxed: the fence orders it. Nearly always there is nothing to do.
        if self.loading.load(Ordering::Relaxed) == 0 {
            return;
        }
        for load in self.invalidate(scope) {
            load.stored().await;
        }
    }

    /// Leads the load of a key, or waits for who does.
    pub(crate) fn join(&self, key: &str) -> Joined<'_> {
        let load = match self.loads.entry(key.into()) {
            Entry::Occupied(there) => return Joined::Waits(Arc::clone(there.get())),
            Entry::Vacant(place) => {
                // Relaxed: the fence orders it. Before the load can be found, so that it is never counted off first.
                self.loading.fetch_add(1, Ordering::Relaxed);
                Arc::clone(&place.insert(Arc::default()))
            }
        };
        // SeqCst: pairs with the fence in `overtake`; see the module.
        fence(Ordering::SeqCst);
        Joined::Leads(Leader::new(self, key, load))
    }

    /// Waits for the turn to update a key.
    pub(crate) async fn turn(&self, key: &str) -> Turn<'_> {
        let mut turn = match self.turns.entry(key.into()) {
            Entry::Occupied(there) => Turn::join(self, key, there.get()),
            Entry::Vacant(place) => Turn::join(self, key, &place.insert(Arc::default())),
        };
        turn.taken().await;
        turn
    }

    /// Runs a closure's future so that [`Flights::is_inside`] tells it which key it works on.
    pub(crate) async fn inside<F: Future>(&self, key: &str, future: F) -> F::Output {
        let name = self.name(key);
        let mut future = pin!(future);
        poll_fn(|context| {
            let _inside = Inside::enter(name);
            future.as_mut().poll(context)
        })
        .await
    }

    /// Whether the caller runs in a closure that loads or updates this very key.
    pub(crate) fn is_inside(&self, key: &str) -> bool {
        INSIDE.with_borrow(|inside| !inside.is_empty() && inside.contains(&self.name(key)))
    }

    fn name(&self, key: &str) -> (usize, u64) {
        (std::ptr::from_ref(self).addr(), self.hasher.hash_one(key))
    }

    /// Takes the loads of some keys out of the table, but for those that are storing, which it returns.
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
            self.loads.remove_if(key, |_, load| !keep(load));
        };
        match scope {
            Scope::Key(key) => one(key),
            Scope::Keys(keys) => keys.iter().for_each(|key| one(key)),
            Scope::All => self.loads.retain(|_, load| keep(load)),
        }
        storing
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
            loading: AtomicUsize::new(0),
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
