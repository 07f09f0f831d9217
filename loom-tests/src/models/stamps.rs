//! Stamp against evict: reads leave stamps beside a writer that puts the list right by them.
//!
//! The bugs: the list or its length is torn; an entry that nobody has read counts as read, because the stamp of a reader
//! of the slot's last entry came late, and a used one is evicted in its place.

use super::world::World;
use super::{Kind, Witness, check, race, racer};
use std::sync::Arc;

/// Three keys, room for three; one is read while a fourth comes in.
#[test]
fn a_read_beside_an_eviction() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(3, 1));
        let record = world.domain.lease();
        (1..=3).for_each(|key| world.insert(record, key, key));
        world.domain.release(record);
        race([
            racer(&world, |world| {
                let record = world.domain.lease();
                assert!(matches!(world.get(record, 1, |it| *it), None | Some(1)));
                assert_eq!(world.get(record, 3, |it| *it), Some(3));
            }),
            racer(&world, |world| {
                let record = world.domain.lease();
                world.insert(record, 4, 4);
            }),
        ]);
        world.validate();
        let record = world.domain.lease();
        // The read of 1 was in time, or it was not.
        assert!(world.contains(record, 1) != world.contains(record, 2));
        assert!(world.contains(record, 3) && world.contains(record, 4));
        assert_eq!(world.store.len(), 3);
    });
}

/// A reader finds key 1, whose slot key 2 gets. Caught: a slot that is ready before its grace period has passed.
#[test]
fn a_stamp_comes_in_time() {
    let reused = Witness::default();
    check(Kind::Symmetric, 2, {
        let reused = reused.clone();
        move || {
            let reused = reused.clone();
            let world = Arc::new(World::new(2, 1));
            let record = world.domain.lease();
            world.insert(record, 1, 1);
            world.domain.release(record);
            race([
                racer(&world, |world| {
                    let record = world.domain.lease();
                    world.get(record, 1, |it| *it);
                }),
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    world.remove(record, 1);
                    if world.collect(0) {
                        reused.saw();
                    }
                    world.insert(record, 2, 2);
                    world.insert(record, 3, 3);
                }),
            ]);
            let record = world.domain.lease();
            world.insert(record, 4, 4);
            // 2 is the oldest and was never read.
            assert!(!world.contains(record, 2));
            assert!(world.contains(record, 3) && world.contains(record, 4));
            world.validate();
        }
    });
    reused.assert();
}
