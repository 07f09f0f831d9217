//! What bounds the response layer: permits, and what bodies hold.
//!
//! The bugs: more is let in than there may be, or what has left still counts.

use super::{Kind, check, race, racer};
use crate::atomics;
use crate::response::answer::buffers::Buffers;
use crate::response::fetch::permits::Permits;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

const MOST: u64 = 2;

/// Counts those inside, as a test sees it.
#[derive(Default)]
struct Inside(AtomicU64);

impl Inside {
    fn come_and_go(&self) {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        assert!(before < MOST, "too many are inside");
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Three that want a permit. Caught: one is taken with a look and a store, or not given back.
#[test]
fn no_more_permits_than_there_are() {
    check(Kind::Symmetric, 3, || {
        // The counts are in the standard library's Arc.
        atomics::check_ends(false);
        let world = Arc::new((Arc::<Permits>::default(), Inside::default()));
        let taker = || {
            racer(&world, |(permits, inside): &(Arc<Permits>, Inside)| {
                if let Some(_taken) = permits.take(MOST as usize) {
                    inside.come_and_go();
                }
            })
        };
        race([taker(), taker(), taker()]);
        assert_eq!(world.0.count(), 0);
        assert!(world.0.take(1).is_some());
    });
}

/// Three bodies, of which two have room. Caught: one that looks before it counts itself, and one that is refused and still
/// counts.
#[test]
fn no_more_bytes_than_there_is_room_for() {
    check(Kind::Symmetric, 3, || {
        atomics::check_ends(false);
        let world = Arc::new((Arc::<Buffers>::default(), Inside::default()));
        // What an empty piece takes.
        let piece = world.0.account(u64::MAX).hold(0).unwrap().bytes();
        let holder = || {
            racer(&world, move |(buffers, inside): &(Arc<Buffers>, Inside)| {
                if let Some(_held) = buffers.account(MOST * piece).hold(0) {
                    inside.come_and_go();
                }
            })
        };
        race([holder(), holder(), holder()]);
        assert_eq!(world.0.held(), 0);
    });
}
