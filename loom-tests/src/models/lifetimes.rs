//! Expiry against more time: an entry's deadline comes while somebody moves it.
//!
//! The bugs: a sweep takes out what a reader has just given more time; what a reader found gone is there again; a deadline that was
//! set is lost when the value is replaced, or by a read that restarts the idle time.

use super::world::World;
use super::{Kind, Witness, check, race, racer};
use crate::core::index::Route;
use crate::core::life::{Deadlines, INHERITED};
use crate::core::reclaim::Record;
use crate::core::shard::Terms;
use std::sync::Arc;
use std::sync::Mutex;

const KEY: u64 = 1;
/// When the entry goes if nothing is done about it.
const END: u64 = 10;
const LATER: u64 = 20;

/// A world with one entry.
fn world(idle: bool) -> Arc<World<u64>> {
    let world = if idle {
        World::with_idle_times(2)
    } else {
        World::new(2, 1)
    };
    let record = world.domain.lease();
    put(&world, record, END - 5, END);
    world.domain.release(record);
    Arc::new(world)
}

fn put(world: &World<u64>, record: &Record, now: u64, limit: u64) {
    let deadlines = Deadlines { first: END, limit };
    let mut write = world.write_at(record, now);
    let seen = write.look_closely(Route::new(KEY), |other| *other == KEY).0;
    let stands = |_| true;
    assert!(
        write
            .put(seen, (deadlines, KEY, 1), Terms::PLAIN, stands)
            .is_ok()
    );
}

/// As a read at `now` does that moves the first deadline. Whether it found the entry alive.
fn restart(world: &World<u64>, record: &Record, now: u64) -> bool {
    let pin = record.pin(&world.domain);
    let hit = world
        .store
        .find(&pin, Route::new(KEY), |other| *other == KEY);
    hit.is_some_and(|hit| hit.word().shift(now, |_| Some(LATER)).is_some())
}

/// As a read at `now` that moves nothing. Whether it found the entry alive.
fn look(world: &World<u64>, record: &Record, now: u64) -> bool {
    let pin = record.pin(&world.domain);
    let hit = world
        .store
        .find(&pin, Route::new(KEY), |other| *other == KEY);
    hit.is_some_and(|hit| !hit.life().has_expired(now))
}

/// As `Cache::set_ttl` or `touch`.
fn revise(world: &World<u64>, record: &Record, now: u64, limit: u64) -> bool {
    let mut write = world.write_at(record, now);
    write.revise(Route::new(KEY), |other| *other == KEY, (limit, None), false)
}

fn purge(world: &World<u64>, now: u64) -> usize {
    let context = world.store.context(&world.domain, now);
    world.store.purge_expired(&context)
}

/// Caught: a sweep that takes out what it saw expired without saying so first; a read that prolongs with a mere store.
#[test]
fn a_read_prolongs_beside_a_sweep() {
    let (prolonged, swept) = (Witness::default(), Witness::default());
    check(Kind::Symmetric, 3, {
        let (prolonged, swept) = (prolonged.clone(), swept.clone());
        move || {
            let (prolonged, swept) = (prolonged.clone(), swept.clone());
            let world = world(false);
            let results = Arc::new(Mutex::new((false, 0)));
            race([
                racer(&world, {
                    let results = Arc::clone(&results);
                    move |world| {
                        let alive = restart(world, world.domain.lease(), END - 1);
                        results.lock().unwrap().0 = alive;
                    }
                }),
                racer(&world, {
                    let results = Arc::clone(&results);
                    move |world| {
                        let purged = purge(world, END);
                        results.lock().unwrap().1 = purged;
                    }
                }),
            ]);
            let (alive, purged) = *results.lock().unwrap();
            assert_eq!(purged, usize::from(!alive), "both, or neither");
            if alive {
                prolonged.saw();
            } else {
                swept.saw();
            }
            world.validate();
            assert_eq!(purge(&world, LATER - 1), 0);
            assert_eq!(purge(&world, LATER), usize::from(alive), "it is filed");
        }
    });
    prolonged.assert();
    swept.assert();
}

/// Caught: a reader that says that an entry is gone and leaves it as it was.
#[test]
fn what_is_gone_for_a_reader_is_not_brought_back() {
    let (gone, moved) = (Witness::default(), Witness::default());
    check(Kind::Symmetric, 3, {
        let (gone, moved) = (gone.clone(), moved.clone());
        move || {
            let (gone, moved) = (gone.clone(), moved.clone());
            let world = world(false);
            let results = Arc::new(Mutex::new((false, false)));
            race([
                racer(&world, {
                    let results = Arc::clone(&results);
                    move |world| {
                        let alive = look(world, world.domain.lease(), END);
                        results.lock().unwrap().0 = alive;
                    }
                }),
                racer(&world, {
                    let results = Arc::clone(&results);
                    move |world| {
                        // Its look at the clock was earlier.
                        let revised = revise(world, world.domain.lease(), END - 1, LATER);
                        results.lock().unwrap().1 = revised;
                    }
                }),
            ]);
            let (alive, revised) = *results.lock().unwrap();
            assert!(alive || !revised, "brought back");
            if alive {
                moved.saw();
            } else {
                gone.saw();
            }
            let record = world.domain.lease();
            assert_eq!(look(&world, record, LATER - 1), revised);
            world.validate();
        }
    });
    gone.assert();
    moved.assert();
}

/// An update keeps the lifetime that is set meanwhile. Caught: a deadline that is set in an entry that has been replaced.
#[test]
fn a_lifetime_is_set_beside_an_update_that_keeps_it() {
    check(Kind::Symmetric, 2, || {
        let world = world(false);
        race([
            racer(&world, |world| {
                put(world, world.domain.lease(), END - 1, INHERITED);
            }),
            racer(&world, |world| {
                assert!(revise(world, world.domain.lease(), END - 1, LATER));
            }),
        ]);
        world.validate();
        assert_eq!(purge(&world, LATER - 1), 0);
        assert_eq!(purge(&world, LATER), 1);
    });
}

/// A read restarts the idle time, and the limit is set that lies ahead of that. Caught: a limit that is not filed.
#[test]
fn a_limit_is_set_beside_a_read() {
    check(Kind::Symmetric, 3, || {
        let world = world(true);
        race([
            racer(&world, |world| {
                let record = world.domain.lease();
                assert!(restart(world, record, END - 4));
            }),
            racer(&world, |world| {
                let record = world.domain.lease();
                assert!(revise(world, record, END - 4, END - 2));
            }),
        ]);
        world.validate();
        let record = world.domain.lease();
        assert!(look(&world, record, END - 3) && !look(&world, record, END - 2));
        assert_eq!(purge(&world, END - 2), 1);
    });
}
