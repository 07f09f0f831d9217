//! Permits to run loaders, which one gives back and another takes.
//!
//! The bugs: more work than there are permits, or one lies idle while somebody waits.

use super::waiting::{block_on, poll_once};
use super::{Kind, check, race, racer};
use crate::flights::permits::Permits;
use crate::sync::Guarded;
use std::sync::Arc;

struct World {
    permits: Permits,
    /// With one permit, only who has it touches this; loom reports who does without.
    worked: Guarded,
}

impl World {
    fn new(permits: usize) -> Self {
        Self {
            permits: Permits::new(permits, 4),
            worked: Guarded::new(0),
        }
    }

    fn work(&self) {
        let _permit = block_on(self.permits.take()).expect("there is room to wait");
        self.worked.set(self.worked.get() + 1);
    }

    /// All are there again, and nobody waits.
    fn is_idle(&self) -> bool {
        self.permits.taken() == 0 && self.permits.is_deserted()
    }
}

/// Two threads, of which one comes back. Caught: a permit that is taken although there is none, and one that is given back without
/// a word.
#[test]
fn one_at_a_time() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(1));
        race([
            racer(&world, |world: &World| {
                world.work();
                world.work();
            }),
            racer(&world, World::work),
        ]);
        assert_eq!(world.worked.get(), 3);
        assert!(world.is_idle());
    });
}

/// One does not wait to the end. Caught: it keeps what it was woken for.
#[test]
fn one_that_leaves_hands_on() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(1));
        race([
            racer(&world, World::work),
            racer(&world, |world: &World| {
                drop(poll_once(world.permits.take()));
            }),
            racer(&world, World::work),
        ]);
        assert_eq!(world.worked.get(), 2);
        assert!(world.is_idle());
    });
}

/// Two are given back, one after the other, while two wait: the first may not have looked yet when the second comes. Caught: who takes
/// one does not wake the next.
#[test]
fn two_that_are_given_back_reach_two() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(2));
        let take = || block_on(world.permits.take()).expect("there is room to wait");
        let (one, other) = (take(), take());
        // These permits stay with this thread, whose loan of the world they are.
        let waiting = [(); 2].map(|()| {
            let world = Arc::clone(&world);
            loom::thread::spawn(move || {
                block_on(async {
                    let permit = world.permits.take().await.expect("there is room to wait");
                    // It is held until the other has one.
                    std::mem::forget(permit);
                });
            })
        });
        drop(one);
        drop(other);
        for thread in waiting {
            thread.join().expect("who waits does not panic");
        }
        assert_eq!(world.permits.taken(), 2);
        assert!(world.permits.is_deserted());
    });
}
