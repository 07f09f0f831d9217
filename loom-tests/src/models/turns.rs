//! Turns to update a key.
//!
//! The bugs: two have the turn at once, or nobody has it although someone waits.

use super::waiting::{block_on, poll_once};
use super::{Kind, check, race, racer};
use crate::backend::flights::Flights;
use crate::sync::Guarded;
use std::sync::Arc;

const KEY: &str = "key";

struct World {
    flights: Flights,
    /// Only who has the turn touches it; loom reports who does without.
    updates: Guarded,
}

impl World {
    fn new() -> Self {
        Self {
            flights: Flights::default(),
            updates: Guarded::new(0),
        }
    }

    fn update(&self) {
        let _turn = block_on(self.flights.turn(KEY)).expect("nobody is late");
        self.updates.set(self.updates.get() + 1);
    }
}

/// Two threads, of which one comes back. Caught: a queue that leaves the table while someone is in it, and a turn that ends
/// without waking the next.
#[test]
fn one_at_a_time() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        race([
            racer(&world, |world: &World| {
                world.update();
                world.update();
            }),
            racer(&world, World::update),
        ]);
        assert_eq!(world.updates.get(), 3);
        let left = format!("{:?}", world.flights);
        assert!(left.contains("updates: 0"), "{left}");
    });
}

/// One does not wait to the end. Caught: it takes another's ticket along.
#[test]
fn one_that_leaves_the_queue() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        race([
            racer(&world, World::update),
            racer(&world, |world: &World| {
                drop(poll_once(world.flights.turn(KEY)));
            }),
            racer(&world, World::update),
        ]);
        assert_eq!(world.updates.get(), 2);
    });
}
