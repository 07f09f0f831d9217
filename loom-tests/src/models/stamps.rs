//! Stamp against evict: reads leave stamps beside a writer that puts the list right by them.
//!
//! The bugs: the list or its length is torn; an entry that nobody has read counts as read, because the stamp of a reader
//! of the slot's last entry came late, and a used one is evicted in its place.

use super::world::World;
use super::{Kind, Witness, check, race, racer};
use crate::sync::{AtomicBool, Ordering};
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

/// Three keys, room for three; two threads take strict turns, and what the first one read is the oldest. Caught: reads of a
/// second thread that begin no eras of their own.
#[test]
fn threads_that_take_turns() {
    let turned = Witness::default();
    check(Kind::Symmetric, 2, {
        let turned = turned.clone();
        move || {
            let turned = turned.clone();
            let world = Arc::new((World::new(3, 1), AtomicBool::new(false)));
            let record = world.0.domain.lease();
            (1..=3).for_each(|key| world.0.insert(record, key, key));
            race([
                racer(&world, |(world, turn)| {
                    let record = world.domain.lease();
                    world.get(record, 2, |it| *it);
                    // Release: pairs with the Acquire of the second thread, which is what taking turns means.
                    turn.store(true, Ordering::Release);
                }),
                racer(&world, move |(world, turn)| {
                    let record = world.domain.lease();
                    // Acquire: see above.
                    if turn.load(Ordering::Acquire) {
                        world.get(record, 1, |it| *it);
                        world.get(record, 3, |it| *it);
                        turned.saw();
                        world.insert(record, 4, 4);
                        assert!(!world.contains(record, 2), "not the least recently used");
                        assert!(world.contains(record, 1) && world.contains(record, 3));
                    }
                }),
            ]);
            world.0.validate();
            world.0.domain.release(record);
        }
    });
    turned.assert();
}

/// Two threads read at the same time: one of them takes over, or neither, and later turns are in order all the same.
#[test]
fn threads_that_read_at_the_same_time() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(3, 1));
        let record = world.domain.lease();
        (1..=3).for_each(|key| world.insert(record, key, key));
        race([1, 2].map(|key| {
            racer(&world, move |world| {
                let record = world.domain.lease();
                assert_eq!(world.get(record, key, |it| *it), Some(key));
            })
        }));
        world.insert(record, 4, 4);
        // Whatever became of the eras: who was not read goes first.
        assert!(!world.contains(record, 3));
        world.validate();
        world.domain.release(record);
    });
}
