//! Flights of the response layer.
//!
//! The bugs: the handler runs although its response is there, or somebody waits for a landing that nobody will tell.

use super::waiting::block_on;
use super::{Kind, check, race, racer};
use crate::atomics;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::fetch::flight::{Flights, Joined, Landing, Leader};
use crate::response::storage::purge_marks::PurgeMarks;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// One key.
struct World {
    flights: Arc<Flights>,
    /// Which run of the handler made what is stored; 0 is nothing.
    stored: AtomicU64,
    runs: AtomicU64,
}

impl World {
    fn new() -> Self {
        // Those of a flight are in the standard library's Arc.
        atomics::check_ends(false);
        Self {
            flights: Arc::default(),
            stored: AtomicU64::new(0),
            runs: AtomicU64::new(0),
        }
    }

    fn get(&self) -> Option<u64> {
        match self.stored.load(Ordering::Acquire) {
            0 => None,
            run => Some(run),
        }
    }

    fn run(&self) -> u64 {
        self.runs.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn join(&self) -> Joined {
        let name = self.flights.name("key", 0, PurgeMarks::default());
        self.flights.join(name)
    }

    /// As `Fetch::run` does it. Says which run of the handler answers.
    fn fetch(&self) -> u64 {
        let landed = self.flights.landed();
        if let Some(run) = self.get() {
            return run;
        }
        match self.join() {
            Joined::Follows(follower) => match block_on(follower.landing()) {
                Landing::Shared(stored) => stored.0,
                Landing::Alone => self.run(),
            },
            Joined::Leads(leader) if self.flights.landed() == landed => self.lead(&leader),
            Joined::Leads(leader) => match self.get() {
                Some(run) => {
                    leader.tell(Landing::Shared(Arc::new(StoredResponse(run))));
                    run
                }
                None => self.lead(&leader),
            },
        }
    }

    fn lead(&self, leader: &Leader) -> u64 {
        let run = self.run();
        leader.tell(Landing::Shared(Arc::new(StoredResponse(run))));
        self.stored.store(run, Ordering::Release);
        run
    }
}

/// Three requests. Caught: a flight that lands without Release, is noted without Acquire, or is counted when it has left the
/// table, and a leader that does not tell.
#[test]
fn the_handler_runs_once() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        race([0; 3].map(|_| racer(&world, |world: &World| assert_eq!(world.fetch(), 1))));
        assert_eq!(world.runs.load(Ordering::Relaxed), 1);
        assert_eq!(world.flights.count(), 0);
    });
}

/// A leader whose handler fails. Caught: nobody tells those who follow.
#[test]
fn a_leader_that_fails() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        let failing = racer(&world, |world: &World| {
            let _joined = world.join();
            world.run();
        });
        let other = || {
            racer(&world, |world: &World| {
                world.fetch();
            })
        };
        race([failing, other(), other()]);
        assert!(world.runs.load(Ordering::Relaxed) <= 3);
        assert_eq!(world.flights.count(), 0);
    });
}

/// A follower that waits until all is done. Caught: an end without Release, or seen without Acquire, or that nobody tells.
#[test]
fn what_a_leader_did_is_seen_when_it_has_ended() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        let other = || {
            racer(&world, |world: &World| match world.join() {
                Joined::Leads(leader) => drop(world.lead(&leader)),
                Joined::Follows(follower) => {
                    block_on(follower.ended());
                    assert!(world.stored.load(Ordering::Relaxed) != 0);
                }
            })
        };
        race([other(), other()]);
    });
}
