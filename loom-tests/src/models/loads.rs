//! Loads beside writes, which win.
//!
//! The bug: something that was true before a write began is stored after the write, or answered to who came after it.

use super::waiting::{block_on, poll_once};
use super::{Kind, check, race, racer};
use crate::backend::Value;
use crate::backend::flights::{Flights, Joined, Leader, Scope};
use crate::sync::{AtomicU64, Mutex, Ordering};
use std::sync::Arc;

const KEY: &str = "key";
/// What the truth is at first; it grows.
const OLD: Value = 1;
const NEW: Value = 2;

/// A backend with one key, and the truth that it caches.
struct World {
    flights: Flights,
    /// 0 is nothing. As in memory: who writes holds a lock, who reads does not, nor who finds nothing to delete.
    stored: AtomicU64,
    writer: Mutex<()>,
    truth: AtomicU64,
}

impl World {
    fn new(stored: Value) -> Self {
        Self {
            flights: Flights::default(),
            stored: AtomicU64::new(stored),
            writer: Mutex::new(()),
            truth: AtomicU64::new(OLD),
        }
    }

    fn get(&self) -> Option<Value> {
        match self.stored.load(Ordering::Acquire) {
            0 => None,
            value => Some(value),
        }
    }

    /// As `CacheBackend::compare_and_set`.
    fn set_if(&self, expected: Option<Value>, value: Value) {
        let _writer = self.writer.lock();
        if self.get() == expected {
            self.stored.store(value, Ordering::Release);
        }
    }

    /// As `CacheBackendExt::get_or_load`.
    fn get_or_load(&self) -> Value {
        self.get().unwrap_or_else(|| self.load())
    }

    /// The rest of it, for who has found nothing.
    fn load(&self) -> Value {
        match Flights::join(&self.flights, KEY) {
            Joined::Leads(leader) => self.lead(leader),
            Joined::Follows(load) => match block_on(load.answer()) {
                Some(answer) => answer.expect("no load fails"),
                None => self.get_or_load(),
            },
        }
    }

    fn lead(&self, leader: Leader<&Flights>) -> Value {
        if let Some(value) = self.get() {
            return value;
        }
        let value = self.truth.load(Ordering::Relaxed);
        if leader.may_store() {
            self.set_if(None, value);
        }
        leader.end(Ok(value));
        value
    }

    /// As a load that replaces what is stale, or about to be.
    fn refresh(&self) {
        let Joined::Leads(leader) = Flights::join(&self.flights, KEY) else {
            return;
        };
        let found = self.get();
        let value = self.truth.load(Ordering::Relaxed);
        if leader.may_store() {
            self.set_if(found, value);
        }
        leader.end(Ok(value));
    }

    /// As `CacheBackendExt::delete` and `flush`, after a change of the truth.
    fn renew(&self, scope: Scope<'_>) {
        self.truth.store(NEW, Ordering::Relaxed);
        block_on(self.flights.overtake(scope, "renew")).expect("nobody is late");
        if self.get().is_some() {
            let _writer = self.writer.lock();
            self.stored.store(0, Ordering::Release);
        }
    }
}

/// A load beside a write, by its key or of all there is.
fn load_beside(scope: Scope<'static>) {
    check(Kind::Symmetric, 3, move || {
        let world = Arc::new(World::new(0));
        race([
            racer(&world, |world: &World| {
                world.get_or_load();
            }),
            racer(&world, move |world: &World| {
                world.renew(scope);
                assert_eq!(world.get_or_load(), NEW, "to who came after the write");
            }),
        ]);
        assert_ne!(world.get(), Some(OLD), "stored after the write");
        assert_eq!(world.get_or_load(), NEW);
    });
}

/// Caught: fences that are missing on either side, a load that is counted behind its fence, one that stores although it was
/// overtaken or without saying so, a write that does not wait for who stores, and a load that others join although it was
/// overtaken.
#[test]
fn a_load_beside_a_write_of_its_key() {
    load_beside(Scope::Key(KEY));
}

#[test]
fn a_load_beside_a_write_of_some_keys() {
    load_beside(Scope::Keys(&["other", KEY]));
}

#[test]
fn a_load_beside_a_flush() {
    load_beside(Scope::All);
}

/// A load that replaces what is there, beside a write. Caught: fences that are missing.
#[test]
fn a_refresh_beside_a_write_of_its_key() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(OLD));
        race([
            racer(&world, |world: &World| world.refresh()),
            racer(&world, |world: &World| {
                world.renew(Scope::Key(KEY));
                assert_eq!(world.get_or_load(), NEW, "to who came after the write");
            }),
        ]);
        assert_ne!(world.get(), Some(OLD), "stored after the write");
    });
}

/// A load that leads after another has ended, whose value it finds although a write is about to remove it. Caught: it is handed
/// to those who wait.
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
                world.renew(Scope::Key(KEY));
                assert_eq!(world.get_or_load(), NEW);
            }),
        ]);
    });
}

/// A leader that gives up. Caught: nobody tells those who wait.
#[test]
fn a_load_that_is_given_up() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(0));
        let reader = || {
            racer(&world, |world: &World| {
                assert_eq!(world.get_or_load(), OLD);
            })
        };
        race([
            racer(&world, |world: &World| {
                drop(Flights::join(&world.flights, KEY));
            }),
            reader(),
            reader(),
        ]);
        assert_eq!(world.get(), Some(OLD));
    });
}

/// A load that was overtaken ends beside one that has come in its place. Caught: it takes that one out of the table, where the
/// next write must find it.
#[test]
fn a_load_that_ends_beside_the_next() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(0));
        race([
            racer(&world, |world: &World| {
                world.get_or_load();
            }),
            racer(&world, |world: &World| {
                block_on(world.flights.overtake(Scope::All, "flush")).expect("nobody is late");
                world.get_or_load();
            }),
            racer(&world, |world: &World| world.renew(Scope::Key(KEY))),
        ]);
        assert_ne!(world.get(), Some(OLD), "stored after the write");
    });
}

/// One that waits for a load does not wait to the end. Caught: it takes another's ticket along, or leaves its own behind.
#[test]
fn one_that_leaves_a_load() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(0));
        let Joined::Leads(leader) = Flights::join(&world.flights, KEY) else {
            unreachable!("it is the first");
        };
        let Joined::Follows(load) = Flights::join(&world.flights, KEY) else {
            unreachable!("somebody leads");
        };
        let (leaves, stays) = (Arc::clone(&load), Arc::clone(&load));
        // The leader stays with this thread, whose loan of the table it is.
        let left = loom::thread::spawn(move || drop(poll_once(leaves.answer())));
        let waited = loom::thread::spawn(move || block_on(stays.answer()).is_some());
        leader.end(Ok(OLD));
        left.join().expect("who leaves does not panic");
        assert!(waited.join().expect("who waits does not panic"));
        assert!(load.is_deserted(), "somebody's ticket is left");
    });
}
