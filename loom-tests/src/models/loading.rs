//! Loads of the typed cache beside writes, which win.
//!
//! The bug: something that was true before a write began is stored after the write, or answered to who came after it.

use super::{Kind, check, race, racer};
use crate::atomics;
use crate::cache::load::flight::Flight;
use crate::cache::load::table::{Joined, Leader, Table};
use crate::flights::{block_on, inside};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::future::ready;
use std::sync::Arc;

const HASH: u64 = 7;
const KEY: u64 = 1;
/// What the truth is at first; it grows.
const OLD: u64 = 1;
const NEW: u64 = 2;

/// A cache with one key, and the truth that it caches.
struct World {
    loads: Table<u64, u64>,
    /// 0 is nothing. As in the core: who writes holds a lock, who reads does not, nor who finds nothing to remove.
    stored: AtomicU64,
    writer: Mutex<()>,
    truth: AtomicU64,
    runs: AtomicU64,
}

impl World {
    fn new(stored: u64) -> Self {
        // Those of a thread that waits are in the standard library's Arc.
        atomics::check_ends(false);
        Self {
            loads: Table::new(),
            stored: AtomicU64::new(stored),
            writer: Mutex::new(()),
            truth: AtomicU64::new(OLD),
            runs: AtomicU64::new(0),
        }
    }

    fn get(&self) -> Option<u64> {
        match self.stored.load(Ordering::Acquire) {
            0 => None,
            value => Some(value),
        }
    }

    fn join(&self) -> Joined<'_, u64, u64> {
        self.loads.join(HASH, |key| *key == KEY, || KEY)
    }

    /// As `Cache::get_or_insert_with`.
    fn get_or_load(&self) -> u64 {
        self.get().unwrap_or_else(|| self.load())
    }

    /// The rest of it, for who has found nothing.
    fn load(&self) -> u64 {
        match self.join() {
            Joined::Leads(leader) => self.lead(leader),
            Joined::Follows(flight) => match answer(&flight) {
                Some(value) => value,
                None => self.get_or_load(),
            },
        }
    }

    fn lead(&self, leader: Leader<'_, u64, u64>) -> u64 {
        if let Some(value) = self.get() {
            return value;
        }
        self.runs.fetch_add(1, Ordering::Relaxed);
        let read = || ready(self.truth.load(Ordering::Relaxed));
        let value = block_on(inside(&[leader.node()], read()));
        leader.store(|| {
            let _writer = self.writer.lock();
            if self.get().is_none() {
                self.stored.store(value, Ordering::Release);
            }
        });
        leader.end(|| value);
        value
    }

    /// As `Cache::remove` and `Cache::clear`, after a change of the truth.
    fn renew(&self, all: bool) {
        self.truth.store(NEW, Ordering::Relaxed);
        if all {
            self.loads.overtake_all();
        } else {
            self.loads.overtake(HASH, |key| *key == KEY);
        }
        if self.get().is_some() {
            let _writer = self.writer.lock();
            self.stored.store(0, Ordering::Release);
        }
    }
}

fn answer(flight: &Flight<u64, u64>) -> Option<u64> {
    let answer = block_on(flight.answer()).expect("nobody waits in a circle");
    answer.map(|value| *value)
}

fn load_beside(kind: Kind, preemptions: usize, all: bool) {
    check(kind, preemptions, move || {
        let world = Arc::new(World::new(0));
        race([
            racer(&world, |world: &World| {
                world.get_or_load();
            }),
            racer(&world, move |world: &World| {
                world.renew(all);
                assert_eq!(world.get_or_load(), NEW, "to who came after the write");
            }),
        ]);
        assert_ne!(world.get(), Some(OLD), "stored after the write");
        assert_eq!(world.loads.len(), 0);
    });
}

/// Caught: fences that are missing on either side, a load that is counted behind its fence or counted off without Release, one that
/// stores although it was overtaken, or not under the flight's lock, and one that others join although it was overtaken.
#[test]
fn a_load_beside_a_removal() {
    load_beside(Kind::Symmetric, 3, false);
}

#[test]
fn a_load_beside_a_removal_of_all() {
    load_beside(Kind::Symmetric, 3, true);
}

/// A cache's first load, which has to tell the write that there are loads. Caught: a write that is not told, or told without a fence,
/// and a load that does not wait until that is done.
#[test]
fn the_first_load_beside_a_removal() {
    load_beside(Kind::Membarrier, 3, false);
}

#[test]
fn the_first_load_beside_a_removal_of_all() {
    load_beside(Kind::Membarrier, 3, true);
}

/// As above, where the barrier is refused when it is asked for.
#[test]
fn the_first_load_waits_where_there_is_no_barrier() {
    load_beside(Kind::Forbidden, 3, false);
}

/// A load that leads after another has ended, whose value it finds although a write is about to remove it. Caught: it is handed to
/// those who wait.
#[test]
fn a_load_that_finds_what_another_stored() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(OLD));
        race([
            racer(&world, |world: &World| {
                // Before that was stored it looked, and found nothing.
                world.load();
            }),
            racer(&world, |world: &World| {
                world.renew(false);
                assert_eq!(world.get_or_load(), NEW);
            }),
        ]);
    });
}

/// Three callers. Caught: a flight that leaves the table before its value is stored, a caller that does not see the flight of another,
/// a leader that wakes nobody, and a thread that misses its wake.
#[test]
fn the_loader_runs_once() {
    check(Kind::Symmetric, 2, || {
        let world = Arc::new(World::new(0));
        race([0; 3].map(|_| racer(&world, |world: &World| assert_eq!(world.get_or_load(), OLD))));
        assert_eq!(world.runs.load(Ordering::Relaxed), 1);
        assert_eq!(world.loads.len(), 0);
    });
}

/// A leader that gives up. Caught: nobody tells those who wait.
#[test]
fn a_load_that_is_given_up() {
    check(Kind::Symmetric, 2, || {
        let world = Arc::new(World::new(0));
        let reader = || racer(&world, |world: &World| assert_eq!(world.get_or_load(), OLD));
        race([
            racer(&world, |world: &World| drop(world.join())),
            reader(),
            reader(),
        ]);
        assert_eq!(world.get(), Some(OLD));
        assert_eq!(world.loads.len(), 0);
    });
}

/// A load that was overtaken ends beside one that has come in its place. Caught: it takes that one out of the table, where the next
/// write must find it.
#[test]
fn a_load_that_ends_beside_the_next() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(0));
        race([
            racer(&world, |world: &World| {
                world.get_or_load();
            }),
            racer(&world, |world: &World| {
                world.loads.overtake_all();
                world.get_or_load();
            }),
            racer(&world, |world: &World| world.renew(false)),
        ]);
        assert_ne!(world.get(), Some(OLD), "stored after the write");
    });
}
