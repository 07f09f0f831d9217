//! Turns to update a key.
//!
//! The bugs: two have the turn at once, or nobody has it although someone waits.

use super::waiting::{block_on, poll_once};
use super::{Kind, check, race, racer};
use crate::backend::flights::Flights;
use loom::cell::Cell;
use std::sync::Arc;

const KEY: &str = "key";

/// What only who has the turn touches; loom reports who does without.
#[derive(Default)]
struct World {
    flights: Flights,
    updates: Updates,
}

#[derive(Default)]
struct Updates(Cell<u32>);

// SAFETY: loom's cell checks that no two threads use it at the same time, which is what turns are for.
unsafe impl Sync for Updates {}

impl World {
    fn update(&self) {
        let _turn = block_on(self.flights.turn(KEY));
        let updates = &self.updates.0;
        updates.set(updates.get() + 1);
    }
}

/// Two threads, of which one comes back. Caught: a line that leaves the table while someone is in it, and a turn that ends
/// without waking the next.
#[test]
fn one_at_a_time() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::default());
        race([
            racer(&world, |world: &World| {
                world.update();
                world.update();
            }),
            racer(&world, World::update),
        ]);
        assert_eq!(world.updates.0.get(), 3);
        let left = format!("{:?}", world.flights);
        assert!(left.contains("updates: 0"), "{left}");
    });
}

/// One does not wait to the end. Caught: it takes another's place along.
#[test]
fn one_that_leaves_the_line() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::default());
        race([
            racer(&world, World::update),
            racer(&world, |world: &World| {
                drop(poll_once(world.flights.turn(KEY)));
            }),
            racer(&world, World::update),
        ]);
        assert_eq!(world.updates.0.get(), 2);
    });
}
