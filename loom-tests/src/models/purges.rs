//! A purge by key beside a handler that was started before it and stores its response.
//!
//! The bug: the purge finds nothing to remove, and who stores sees no purge; what was asked for before it stays.

use super::{Kind, Witness, check, race, racer};
use crate::response::storage::known_purges::KnownPurges;
use crate::sync::{AtomicBool, Ordering};
use std::sync::Arc;

const BUCKET: usize = 1;

/// What the layer knows, and a store of one entry, of which nothing is promised but that it is there or is not.
#[derive(Default)]
struct World {
    known: KnownPurges,
    stored: AtomicBool,
}

impl World {
    fn purge(&self) {
        self.known.add(BUCKET);
        // Relaxed, here and below: a store may be no more than that.
        if self.stored.load(Ordering::Relaxed) {
            self.stored.store(false, Ordering::Relaxed);
        }
    }

    /// Says whether it has taken the entry out again.
    fn keep(&self, seen: u64) -> bool {
        if self.known.count(BUCKET) != seen {
            return true;
        }
        self.stored.store(true, Ordering::Relaxed);
        let purged = self.known.count_after_write(BUCKET) != seen;
        if purged {
            self.stored.store(false, Ordering::Relaxed);
        }
        purged
    }
}

/// Also when it is the layer's first purge. Caught: either of the two fences is missing.
#[test]
fn a_purge_beside_a_response_that_is_stored() {
    for purged_before in [false, true] {
        let (noticed, missed) = (Witness::default(), Witness::default());
        let (writer_noticed, purge_noticed) = (noticed.clone(), missed.clone());
        check(Kind::Symmetric, 3, move || {
            let world = Arc::new(World::default());
            if purged_before {
                world.purge();
            }
            let seen = world.known.count(BUCKET);
            let (noticed, missed) = (writer_noticed.clone(), purge_noticed.clone());
            race([
                racer(&world, World::purge),
                racer(&world, move |world: &World| {
                    if world.keep(seen) {
                        noticed.saw();
                    } else {
                        missed.saw();
                    }
                }),
            ]);
            assert!(!world.stored.load(Ordering::Relaxed), "it is still there");
        });
        noticed.assert();
        missed.assert();
    }
}
