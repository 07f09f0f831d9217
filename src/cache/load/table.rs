//! The loads of a cache that are under way.
//!
//! They are filed under the fragments of their keys' hashes, and keys are compared outside of the locks.

use super::everywhere;
use super::flight::{Flight, Leader};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, CachePadded, Mutex, Ordering, fence};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many locks the loads are spread over: a power of two.
const PARTS: usize = if cfg!(nori_loom) { 1 } else { 16 };

/// The loads of one fragment.
type Flights<K, V> = SmallVec<[Arc<Flight<K, V>>; 1]>;

type Part<K, V> = Mutex<BTreeMap<u32, Flights<K, V>>>;

/// The loads of a cache that are under way.
pub(crate) struct Table<K, V> {
    /// Whether writes have to ask. See [`everywhere`].
    asked: AtomicBool,
    /// Whether all threads are known to see that.
    told: AtomicBool,
    /// How many loads are in the table or about to be.
    under_way: AtomicUsize,
    next: AtomicU64,
    parts: Box<[CachePadded<Part<K, V>>; PARTS]>,
}

/// What a caller is to the load of its key.
pub(crate) enum Joined<'t, K, V> {
    Leads(Leader<'t, K, V>),
    Follows(Arc<Flight<K, V>>),
}

impl<K, V> Table<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            asked: AtomicBool::new(!everywhere::can_tell()),
            told: AtomicBool::new(!everywhere::can_tell()),
            under_way: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            parts: Box::new(std::array::from_fn(|_| CachePadded(Mutex::default()))),
        }
    }

    /// Leads the load of a key, or follows its leader. The key is owned if nobody is known to load it.
    pub(crate) fn join(
        &self,
        fragment: u32,
        is_it: impl Fn(&K) -> bool,
        own: impl FnOnce() -> K,
    ) -> Joined<'_, K, V> {
        let mut known = self.flights(fragment);
        if let Some(flight) = known.iter().find(|flight| is_it(&flight.key)) {
            return Joined::Follows(Arc::clone(flight));
        }
        self.tell();
        // Relaxed: each has a number of its own, that is all.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let table = std::ptr::from_ref(self).addr();
        let flight = Arc::new(Flight::new(own(), table, number));
        loop {
            let mut part = self.part(fragment).lock();
            let there = part.entry(fragment).or_default();
            let is_known = |it: &Arc<_>| known.iter().any(|other| Arc::ptr_eq(it, other));
            if there.iter().all(is_known) {
                // Relaxed: the fence orders it. It is counted before it can be found, so that it is never counted off first.
                self.under_way.fetch_add(1, Ordering::Relaxed);
                there.push(Arc::clone(&flight));
                break;
            }
            let now = there.clone();
            drop(part);
            // Only now, as those that are gone may be the last of their keys.
            known = now;
            if let Some(flight) = known.iter().find(|flight| is_it(&flight.key)) {
                return Joined::Follows(Arc::clone(flight));
            }
        }
        // SeqCst: pairs with the fence in `overtake_slow`; either we read what the write's caller did, or the write finds us.
        fence(Ordering::SeqCst);
        Joined::Leads(Leader::new(self, fragment, flight))
    }

    /// Keeps the load of a key from storing what it loads: to be called before a write of the key. Those who ask for the key from
    /// now on load it afresh.
    #[inline(always)]
    pub(crate) fn overtake(&self, fragment: u32, is_it: impl Fn(&K) -> bool) {
        // Relaxed: see `everywhere`.
        if self.asked.load(Ordering::Relaxed) {
            self.overtake_slow(fragment, is_it);
        }
    }

    #[cold]
    fn overtake_slow(&self, fragment: u32, is_it: impl Fn(&K) -> bool) {
        if self.is_idle() {
            return;
        }
        for flight in self.flights(fragment) {
            if is_it(&flight.key) {
                self.overtake_one(fragment, &flight);
            }
        }
    }

    /// As [`Table::overtake`], of all keys.
    pub(crate) fn overtake_all(&self) {
        // Relaxed: see `everywhere`.
        if !self.asked.load(Ordering::Relaxed) || self.is_idle() {
            return;
        }
        for part in self.parts.iter() {
            let flights = part.lock().clone();
            for (fragment, flights) in &flights {
                for flight in flights {
                    self.overtake_one(*fragment, flight);
                }
            }
        }
    }

    /// It leaves the table only when it is overtaken: until then other writes must find it.
    fn overtake_one(&self, fragment: u32, flight: &Arc<Flight<K, V>>) {
        flight.overtake();
        drop(self.take_out(fragment, flight));
    }

    /// Whether no load has begun that a write must overtake.
    fn is_idle(&self) -> bool {
        // SeqCst: pairs with the fence in `join`; either the load reads what the write's caller did, or we find the load.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release in `leave`; what a load has stored that is over by now is seen by the write.
        self.under_way.load(Ordering::Acquire) == 0
    }

    /// Ends a load. A write may have taken it out.
    pub(super) fn leave(&self, fragment: u32, flight: &Arc<Flight<K, V>>) {
        drop(self.take_out(fragment, flight));
        // Release: pairs with the Acquire in `is_idle`.
        self.under_way.fetch_sub(1, Ordering::Release);
    }

    /// To be dropped outside of the lock.
    fn take_out(&self, fragment: u32, flight: &Arc<Flight<K, V>>) -> Option<Arc<Flight<K, V>>> {
        let mut part = self.part(fragment).lock();
        let there = part.get_mut(&fragment)?;
        let at = there.iter().position(|it| Arc::ptr_eq(it, flight))?;
        let taken = there.swap_remove(at);
        if there.is_empty() {
            part.remove(&fragment);
        }
        Some(taken)
    }

    fn flights(&self, fragment: u32) -> Flights<K, V> {
        let part = self.part(fragment).lock();
        part.get(&fragment).cloned().unwrap_or_default()
    }

    fn part(&self, fragment: u32) -> &Part<K, V> {
        &self.parts[fragment as usize % PARTS]
    }

    /// Makes writes ask from now on, before the first load reads anything.
    #[inline]
    fn tell(&self) {
        // Acquire: pairs with the Release below; who sees it need not tell again.
        if !self.told.load(Ordering::Acquire) {
            // Relaxed: the barrier orders it.
            self.asked.store(true, Ordering::Relaxed);
            everywhere::tell();
            // Release: pairs with the Acquire above.
            self.told.store(true, Ordering::Release);
        }
    }

    /// How many loads are under way.
    pub(crate) fn len(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.lock().values().map(SmallVec::len).sum::<usize>())
            .sum()
    }
}
