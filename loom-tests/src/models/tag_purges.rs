//! A purge by tag beside a handler that was started before it and stores its response, in a store that loses what purges leave.
//!
//! The bug: the version that the purge has made is gone again when the writer looks, which makes another one, sees no purge, and
//! stores the response under it; what was asked for before the purge stays.

use super::{Kind, Witness, check, race, racer};
use crate::response::storage::known_tag_purges::KnownTagPurges;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

const BUCKET: usize = 1;
const OTHER_BUCKET: usize = 0;
const NONE: u64 = 0;
const OF_THE_WRITER: u64 = 1;
const OF_THE_PURGE: u64 = 2;

/// What the layer knows, and a store of one version, of which nothing is promised but that a write takes the place of the one before.
#[derive(Default)]
struct World {
    known: KnownTagPurges,
    version: AtomicU64,
    stored: AtomicBool,
}

impl World {
    fn purge(&self) {
        self.known.add(BUCKET);
        // Relaxed, here and below: a store may be no more than that.
        self.version.store(OF_THE_PURGE, Ordering::Relaxed);
        self.version.store(NONE, Ordering::Relaxed);
    }

    /// Says whether it has seen a purge.
    fn keep(&self, made: u64) -> bool {
        let (none, own) = (NONE, OF_THE_WRITER);
        // Relaxed, both: as above.
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        let found = self.version.compare_exchange(none, own, success, failure);
        if found.is_err() || self.known.is_purged_since(made, BUCKET) {
            return true;
        }
        assert!(!self.known.is_purged_since(made, OTHER_BUCKET));
        self.stored.store(true, Ordering::Relaxed);
        false
    }
}

/// Also when it is the layer's first purge. Caught: either of the two fences is missing.
#[test]
fn a_purge_by_tag_whose_version_is_lost() {
    for purged_before in [false, true] {
        let (noticed, missed) = (Witness::default(), Witness::default());
        let (writer_noticed, purge_noticed) = (noticed.clone(), missed.clone());
        check(Kind::Symmetric, 3, move || {
            let world = Arc::new(World::default());
            if purged_before {
                world.purge();
            }
            let made = world.known.made();
            let (noticed, missed) = (writer_noticed.clone(), purge_noticed.clone());
            race([
                racer(&world, World::purge),
                racer(&world, move |world: &World| {
                    if world.keep(made) {
                        noticed.saw();
                    } else {
                        missed.saw();
                    }
                }),
            ]);
            let is_stored = world.stored.load(Ordering::Relaxed);
            let version = world.version.load(Ordering::Relaxed);
            assert!(!is_stored || version != OF_THE_WRITER, "it is still there");
        });
        noticed.assert();
        missed.assert();
    }
}
