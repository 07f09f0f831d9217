//! The loads of a cache that are under way, and who leads them.
//!
//! They are filed under their keys' hashes, and keys are compared outside of the locks.
//!
//! # How writes learn that a cache loads
//!
//! A write must not miss a load that has begun, and a load must not miss what a write's caller did before: both pass a full fence
//! between their own store and their look at the other's. Writes of caches that never load should not pay for that. So a write looks
//! at a flag first, without a fence, and the cache's first load sets it and issues a full fence in all threads of the process: a write
//! whose look came before that has made known what its caller did, and one whose look comes after it sees the flag. (Dice,
//! Huang, Yang, *Asymmetric Dekker synchronization*, 2001.) Where there is no such fence the flag is set from the start.

use super::flight::Flight;
use crate::core::reclaim::{fence_everywhere, has_heavy};
use crate::flights::wait_graph::Node;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, CachePadded, Mutex, Ordering, fence};
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many locks the loads are spread over: a power of two.
const PARTS: usize = if cfg!(nori_loom) { 1 } else { 16 };

/// The loads of one hash.
type Flights<K, V> = SmallVec<[Arc<Flight<K, V>>; 1]>;

type Part<K, V> = Mutex<BTreeMap<u64, Flights<K, V>>>;

/// The loads of a cache that are under way.
pub(crate) struct Table<K, V> {
    /// Whether writes have to ask.
    asked: AtomicBool,
    /// Whether all threads are known to see that.
    told: AtomicBool,
    /// On a line of its own: only the two above are looked at by writes of a cache that does not load.
    begun: Box<CachePadded<Begun>>,
    parts: Box<[CachePadded<Part<K, V>>; PARTS]>,
}

#[derive(Debug)]
struct Begun {
    /// How many loads are in the table or about to be.
    under_way: AtomicUsize,
    /// The number of the next load.
    next: AtomicU64,
}

/// What a caller is to the load of its key.
pub(crate) enum Joined<'t, K, V> {
    Leads(Leader<'t, K, V>),
    Follows(Arc<Flight<K, V>>),
}

impl<K, V> Table<K, V> {
    pub(crate) fn new() -> Self {
        let from_the_start = !has_heavy();
        Self {
            asked: AtomicBool::new(from_the_start),
            told: AtomicBool::new(from_the_start),
            begun: Box::new(CachePadded(Begun {
                under_way: AtomicUsize::new(0),
                next: AtomicU64::new(0),
            })),
            parts: Box::new(std::array::from_fn(|_| CachePadded(Mutex::default()))),
        }
    }

    /// Leads the load of a key, or follows its leader. The key is owned if nobody is known to load it.
    pub(crate) fn join(
        &self,
        hash: u64,
        is_it: impl Fn(&K) -> bool,
        own: impl FnOnce() -> K,
    ) -> Joined<'_, K, V> {
        let mut known = self.flights(hash);
        if let Some(flight) = known.iter().find(|flight| is_it(&flight.key)) {
            return Joined::Follows(Arc::clone(flight));
        }
        self.tell();
        // Relaxed: each has a number of its own, that is all.
        let number = self.begun.next.fetch_add(1, Ordering::Relaxed);
        let table = std::ptr::from_ref(self).addr();
        let flight = Arc::new(Flight::new(own(), table, number));
        loop {
            let mut part = self.part(hash).lock();
            let there = part.entry(hash).or_default();
            let is_known = |it: &Arc<_>| known.iter().any(|other| Arc::ptr_eq(it, other));
            if there.iter().all(is_known) {
                // Relaxed: the fence orders it. It is counted before it can be found, so that it is never counted off first.
                self.begun.under_way.fetch_add(1, Ordering::Relaxed);
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
        Joined::Leads(Leader::new(self, hash, flight))
    }

    /// Keeps the load of a key from storing what it loads: to be called before a write of the key. Those who ask for the key from
    /// now on load it afresh.
    #[inline(always)]
    pub(crate) fn overtake(&self, hash: u64, is_it: impl Fn(&K) -> bool) {
        // Relaxed: the fence of the first load orders it.
        if self.asked.load(Ordering::Relaxed) {
            self.overtake_slow(hash, is_it);
        }
    }

    #[cold]
    fn overtake_slow(&self, hash: u64, is_it: impl Fn(&K) -> bool) {
        if self.is_idle() {
            return;
        }
        for flight in self.flights(hash) {
            if is_it(&flight.key) {
                self.overtake_one(hash, &flight);
            }
        }
    }

    /// As [`Table::overtake`], of all keys.
    pub(crate) fn overtake_all(&self) {
        // Relaxed: the fence of the first load orders it.
        if !self.asked.load(Ordering::Relaxed) || self.is_idle() {
            return;
        }
        for part in self.parts.iter() {
            let flights = part.lock().clone();
            for (hash, flights) in &flights {
                for flight in flights {
                    self.overtake_one(*hash, flight);
                }
            }
        }
    }

    /// It leaves the table only when it is overtaken: until then other writes must find it.
    fn overtake_one(&self, hash: u64, flight: &Arc<Flight<K, V>>) {
        flight.overtake();
        drop(self.take_out(hash, flight));
    }

    /// Whether no load has begun that a write must overtake.
    fn is_idle(&self) -> bool {
        // SeqCst: pairs with the fence in `join`; either the load reads what the write's caller did, or we find the load.
        fence(Ordering::SeqCst);
        // Acquire: pairs with the Release in `leave`; what a load has stored that is over by now is seen by the write.
        self.begun.under_way.load(Ordering::Acquire) == 0
    }

    /// Ends a load. A write may have taken it out.
    fn leave(&self, hash: u64, flight: &Arc<Flight<K, V>>) {
        drop(self.take_out(hash, flight));
        // Release: pairs with the Acquire in `is_idle`.
        self.begun.under_way.fetch_sub(1, Ordering::Release);
    }

    /// To be dropped outside of the lock.
    fn take_out(&self, hash: u64, flight: &Arc<Flight<K, V>>) -> Option<Arc<Flight<K, V>>> {
        let mut part = self.part(hash).lock();
        let there = part.get_mut(&hash)?;
        let at = there.iter().position(|it| Arc::ptr_eq(it, flight))?;
        let taken = there.swap_remove(at);
        if there.is_empty() {
            part.remove(&hash);
        }
        Some(taken)
    }

    fn flights(&self, hash: u64) -> Flights<K, V> {
        let part = self.part(hash).lock();
        part.get(&hash).cloned().unwrap_or_default()
    }

    fn part(&self, hash: u64) -> &Part<K, V> {
        // By the high bits, as a shard is chosen: the low ones may be the same for all keys.
        &self.parts[(hash >> 32) as usize & (PARTS - 1)]
    }

    /// Makes writes ask from now on, before the first load reads anything.
    #[inline]
    fn tell(&self) {
        // Acquire: pairs with the Release below; who sees it need not tell again.
        if !self.told.load(Ordering::Acquire) {
            // Relaxed: the fence orders it.
            self.asked.store(true, Ordering::Relaxed);
            fence_everywhere();
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

/// Leads a load, and abandons it when dropped before the end.
pub(crate) struct Leader<'t, K, V> {
    table: &'t Table<K, V>,
    hash: u64,
    flight: Arc<Flight<K, V>>,
    answer: Option<Arc<V>>,
}

impl<'t, K, V> Leader<'t, K, V> {
    fn new(table: &'t Table<K, V>, hash: u64, flight: Arc<Flight<K, V>>) -> Self {
        Self {
            table,
            hash,
            flight,
            answer: None,
        }
    }

    /// What the load's closure runs inside of.
    pub(crate) fn node(&self) -> Node {
        self.flight.node()
    }

    /// Where the flight is in memory, which tells it from others.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.flight).addr()
    }

    /// As [`Flight::store`].
    pub(crate) fn store<R>(&self, put: impl FnOnce() -> R) -> Option<R> {
        self.flight.store(put)
    }

    /// Answers those who wait, if any do, with what `clone` gives.
    pub(crate) fn end(mut self, clone: impl FnOnce() -> V) {
        if !self.flight.is_deserted() {
            self.answer = Some(Arc::new(clone()));
        }
    }
}

impl<K, V> Drop for Leader<'_, K, V> {
    fn drop(&mut self) {
        self.table.leave(self.hash, &self.flight);
        self.flight.end(self.answer.take());
    }
}
