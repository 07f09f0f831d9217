//! The index: probes beside the one writer.
//!
//! The bugs: a probe is shown an id whose entry is not initialised yet, or misses a key that was there throughout. Entries
//! are cells that the writer fills right before it files their id; none is used twice.

use super::{Kind, check, race, racer};
use crate::core::index::{Fragment, Index, LANES, Outgrown, Place, Route};
use crate::sync::{AtomicBool, Ordering, UnsafeCell};
use std::sync::{Arc, Mutex};

struct World {
    index: Index,
    entries: [UnsafeCell<u64>; 2 * LANES + 4],
    flag: AtomicBool,
    /// Annexes that were replaced: no reader waits for a grace period here.
    outgrown: Mutex<Vec<Outgrown>>,
}

// SAFETY: threads share the entries' cells only as loom allows; it reports anything else.
unsafe impl Sync for World {}

/// All in the first of two buckets. Keys with the same remainder share a tag.
fn route(key: u64) -> Route {
    Route::of_spread((key % 100 + 2) << 20 | (key / 100) << 40)
}

impl World {
    /// With the keys 1 to `keys`, filed under the ids of the same number.
    fn new(keys: u64) -> Self {
        let world = Self {
            index: Index::new(1, 2),
            entries: std::array::from_fn(|_| UnsafeCell::new(0)),
            flag: AtomicBool::new(false),
            outgrown: Mutex::default(),
        };
        (1..=keys).for_each(|key| world.insert(key, key as u32));
        world
    }

    fn fill(&self, id: u32, key: u64) {
        // SAFETY: what the models are to show: nobody looks at an entry before its id is filed; loom reports a race
        // otherwise.
        self.entries[id as usize].with_mut(|entry| unsafe { *entry = key });
    }

    fn key(&self, id: u32) -> u64 {
        // SAFETY: as in `fill`.
        let key = self.entries[id as usize].with(|entry| unsafe { *entry });
        assert_ne!(key, 0, "the entry of {id} is not initialised");
        key
    }

    fn insert(&self, key: u64, id: u32) {
        self.fill(id, key);
        assert!(self.index.insert(route(key), id));
    }

    fn fragment(&self, key: u64) -> Fragment {
        self.index.fragment_of(route(key))
    }

    fn remove(&self, key: u64, id: u32) {
        self.index.remove(0, self.fragment(key), id);
    }

    fn replace(&self, key: u64, id: u32) {
        self.fill(id, key);
        let is_it = |id| self.key(id) == key;
        let (lane, _) = self
            .index
            .find_lane(route(key), is_it)
            .expect("the key is there");
        // SAFETY: nobody else writes.
        unsafe { lane.replace(id) };
    }

    /// Gives the range an annex, or a larger one.
    fn refit(&self) {
        let old = self.index.refit(0, |id| self.fragment(self.key(id)));
        self.outgrown
            .lock()
            .expect("nobody panics with it")
            .extend(old);
    }

    fn look(&self, key: u64) -> Option<(Place, u32)> {
        self.index
            .find(route(key), |id| (self.key(id) == key).then_some(id))
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.look(key).map(|(_, id)| id)
    }

    fn validate(&self) {
        self.index.validate(0, |id| self.fragment(self.key(id)));
    }
}

/// Runs `write` beside `read` in a world with the keys 1 to `keys`.
fn beside(keys: u64, write: fn(&World), read: fn(&World)) {
    beside_in(move || World::new(keys), write, read);
}

/// Runs `write` beside `read` in a world that `make` makes.
fn beside_in(
    make: impl Fn() -> World + Send + Sync + 'static,
    write: fn(&World),
    read: fn(&World),
) {
    check(Kind::Symmetric, 10, move || {
        let world = Arc::new(make());
        race([racer(&world, write), racer(&world, read)]);
        world.validate();
    });
}

/// Caught: a tag that is set before the id is stored, or not released, or not acquired.
#[test]
fn an_insert_publishes_its_entry() {
    beside(
        1,
        |world| world.insert(2, 2),
        |world| {
            assert!(matches!(world.find(2), None | Some(2)));
            assert_eq!(world.find(1), Some(1));
        },
    );
}

/// In the lanes whose tags share a word with the overflow count. Caught: a count that does not pass on what the tag beside
/// it has released.
#[test]
fn an_overflow_publishes_the_tags_beside_it() {
    beside(
        LANES as u64 - 1,
        |world| {
            world.insert(12, 12);
            world.insert(13, 13);
        },
        |world| {
            assert!(matches!(world.find(12), None | Some(12)));
        },
    );
}

/// Caught: an id that is replaced without Release, or read without Acquire.
#[test]
fn a_replaced_key_is_found() {
    beside(
        2,
        |world| {
            world.replace(2, 3);
            world.replace(2, 4);
        },
        |world| {
            assert!(matches!(world.find(2), Some(2..=4)));
            assert!(matches!(world.find(2), Some(2..=4)));
        },
    );
}

/// A lane goes from one key to another with the same tag, while a probe is between tag and id. Caught: an id that is filed
/// without Release.
#[test]
fn a_lane_is_reused() {
    beside(
        1,
        |world| {
            world.insert(102, 2);
            world.remove(102, 2);
            world.insert(202, 3);
        },
        |world| {
            assert!(matches!(world.find(202), None | Some(3)));
            assert_eq!(world.find(1), Some(1));
        },
    );
}

/// A key behind a full bucket, while others come and go before and beside it. Caught: an overflow that is taken back from
/// a bucket that the removed key did not pass.
#[test]
fn an_overflowed_key_is_found() {
    beside(
        LANES as u64 + 1,
        |world| {
            world.insert(14, 14);
            world.remove(14, 14);
            world.remove(1, 1);
            world.insert(15, 15);
        },
        |world| {
            assert_eq!(world.find(13), Some(13));
            assert_eq!(world.find(99), None);
        },
    );
}

/// What was inserted before a probe began is found, in the next bucket too. Caught: an overflow that is not counted.
#[test]
fn an_insert_that_is_complete_is_found() {
    beside(
        LANES as u64,
        |world| {
            world.insert(13, 13);
            // Release: pairs with the Acquire below.
            world.flag.store(true, Ordering::Release);
        },
        |world| {
            // Acquire: pairs with the Release above.
            let complete = world.flag.load(Ordering::Acquire);
            let found = world.find(13);
            assert!(found.is_some() || !complete);
        },
    );
}

/// Caught: a walk over all ids that shows a free lane, or an entry that is not initialised.
#[test]
fn a_walk_shows_what_is_there_throughout() {
    beside(
        2,
        |world| {
            world.insert(3, 3);
            world.remove(2, 2);
            world.replace(3, 4);
        },
        |world| {
            let keys: Vec<u64> = world.index.ids(0).map(|id| world.key(id)).collect();
            assert_eq!(keys.iter().filter(|&&key| key == 1).count(), 1);
        },
    );
}

/// A range gets its annex. Caught: a key in it that its bucket does not count.
#[test]
fn an_insert_into_an_annex_is_found() {
    beside(
        2 * LANES as u64,
        |world| {
            world.refit();
            world.insert(25, 25);
            // Release: pairs with the Acquire below.
            world.flag.store(true, Ordering::Release);
        },
        |world| {
            // Acquire: pairs with the Release above.
            let complete = world.flag.load(Ordering::Acquire);
            let found = world.find(25);
            assert!(found.is_some() || !complete);
            assert_eq!(world.find(1), Some(1));
        },
    );
}

/// A key in an annex that is replaced, before another comes and goes. Caught: an annex that is published before it is filled, or
/// without Release, or entered without Acquire.
#[test]
fn an_annexed_key_is_found() {
    beside_in(
        || {
            let world = World::new(2 * LANES as u64);
            world.refit();
            world.insert(25, 25);
            assert!(!world.index.has_room_in_annex(0));
            world
        },
        |world| {
            world.refit();
            world.insert(26, 26);
            world.remove(26, 26);
        },
        |world| {
            assert_eq!(world.find(25), Some(25));
            assert_eq!(world.find(99), None);
        },
    );
}
