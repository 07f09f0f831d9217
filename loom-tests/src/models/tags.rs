//! Hits with tags that need not look their versions up: checks, removals, and time that passes.

use super::{Kind, Witness, check, race, racer};
use crate::backend::tag_changes::counted::{Checked, Counted};
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// How long a check serves.
const EVERY: u64 = 10;

/// A store with one tag, and one entry with it.
struct World {
    /// Whether the version of the tag is the one that the entry was stored with. The store orders nothing: that is the count's part.
    is_there: AtomicU64,
    counted: Counted,
    checked: Checked,
}

impl World {
    /// In which the entry has been read before.
    fn new() -> Arc<Self> {
        let world = Self {
            is_there: AtomicU64::new(1),
            counted: Counted::new(1, EVERY),
            checked: Checked::default(),
        };
        assert!(world.shows(0));
        Arc::new(world)
    }

    /// What somebody gets who comes at that time.
    fn shows(&self, now: u64) -> bool {
        // Relaxed: see `is_there`.
        let look = || Some(self.is_there.load(Ordering::Relaxed) == 1);
        self.counted.is_at(&self.checked, now)
            || self.counted.check(&self.checked, now, look) == Some(true)
    }

    fn remove(&self) {
        // Relaxed: see `is_there`.
        self.is_there.store(0, Ordering::Relaxed);
        self.counted.changed();
    }
}

/// A removal, while others read the entry: when it is done nobody is shown that any more. Caught: a change without Release, a count
/// that is read without Acquire, one that is read behind the look, and a check that is relied upon whatever the count.
#[test]
fn what_is_removed_stays_removed() {
    let shown = Witness::default();
    let saw = shown.clone();
    check(Kind::Symmetric, 3, move || {
        let world = World::new();
        let saw = saw.clone();
        let reader = racer(&world, move |world: &World| {
            if world.shows(1) {
                saw.saw();
            }
        });
        let remover = racer(&world, |world: &World| {
            // Of another tag, so that there is something to look up.
            world.counted.changed();
            world.remove();
            assert!(!world.shows(1), "it is shown to who removed it");
        });
        race([reader, remover]);
        assert!(!world.shows(1), "it is shown in the end");
    });
    shown.assert();
}

/// A version that is lost without a removal, and two who come when what was looked up serves no longer. Caught: a count that is moved on
/// behind the time at which it is due, that time without Release, and read without Acquire.
#[test]
fn what_is_lost_is_shown_no_longer_than_a_check_serves() {
    check(Kind::Symmetric, 3, || {
        let world = World::new();
        assert!(world.shows(EVERY - 1), "it is known");
        // Relaxed: see `is_there`.
        world.is_there.store(0, Ordering::Relaxed);
        assert!(world.shows(EVERY - 1), "it is relied upon");
        let readers = [(); 2].map(|()| {
            racer(&world, |world: &World| {
                assert!(!world.shows(EVERY), "it is shown for too long");
            })
        });
        race(readers);
    });
}

/// A value that is in two stores, which check it at once: only one of them relies on it. Caught: a check that is remembered whosever it is.
#[test]
fn one_store_relies_on_a_check() {
    check(Kind::Symmetric, 3, || {
        let stores = [1, 2].map(|id| Counted::new(id, EVERY));
        let world = Arc::new((stores, Checked::default()));
        type Shared = ([Counted; 2], Checked);
        let checkers = [0, 1].map(|which| {
            racer(&world, move |(stores, checked): &Shared| {
                stores[which].check(checked, 0, || Some(true));
            })
        });
        race(checkers);
        let (stores, checked) = &*world;
        // Both removed what it stands for, and the other, who finds it there again, must not speak for the first.
        stores.iter().for_each(Counted::changed);
        let relied = |store: &Counted| store.is_at(checked, 0);
        assert!(!stores.iter().any(relied));
        for (one, other) in [(0, 1), (1, 0)] {
            stores[one].check(checked, 0, || Some(true));
            assert!(!relied(&stores[other]), "one speaks for another");
            stores[one].changed();
        }
    });
}
