//! A reader holds an entry though it has left the epoch, beside a writer that takes it out, drops it, and puts another in the place of it.
//!
//! The bug: the entry is dropped, or its slot filled again, while it is held.

use super::slots::Value;
use super::world::World;
use super::{Kind, Witness, check, race, racer};
use std::sync::Arc;

/// Replaces the entries of `keys` one by one, beside a reader of them; some of the old ones are dropped while the reader runs.
fn beside(
    (kind, preemptions): (Kind, usize),
    keys: &'static [u64],
    read: impl Fn(&World<Value>) + Copy + Send + Sync + 'static,
) {
    let reused = Witness::default();
    check(kind, preemptions, {
        let reused = reused.clone();
        move || {
            let reused = reused.clone();
            let world = Arc::new(World::new(8, 1));
            let record = world.domain.lease();
            for &key in keys {
                world.insert(record, key, Value::new(key));
            }
            world.domain.release(record);
            race([
                racer(&world, read),
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    for &key in keys {
                        world.insert(record, key, Value::new(key));
                    }
                    if world.collect(0) {
                        reused.saw();
                    }
                    for &key in keys {
                        world.insert(record, key, Value::new(key));
                    }
                }),
            ]);
            world.validate();
        }
    });
    reused.assert();
}

fn one_entry(bounds: (Kind, usize)) {
    beside(bounds, &[1], |world| {
        let record = world.domain.lease();
        assert_eq!(world.hold(record, 1, Value::copy), Some(1));
    });
}

/// Caught: a hold that is published behind the unpin; one that ends without Release; a walk that does not look at holds, or does so before it
/// looks at the record; a slot that is used although it is held.
#[test]
fn one_entry_symmetric() {
    one_entry((Kind::Symmetric, 2));
}

/// As above.
#[test]
fn one_entry_membarrier() {
    one_entry((Kind::Membarrier, 1));
}

/// A closure in a closure in a closure: the second cell is in a block that is allocated for it, and so is the third, in a second one. Caught: a block that is
/// published without Release; a walk that does not go there.
#[test]
fn entries_inside_each_other() {
    beside((Kind::Symmetric, 1), &[1, 2, 3], |world| {
        let record = world.domain.lease();
        let read = world.hold(record, 1, |first| {
            let read = world.hold(record, 2, |second| {
                assert_eq!(world.hold(record, 3, Value::copy), Some(3));
                second.copy()
            });
            assert_eq!(read, Some(2));
            first.copy()
        });
        assert_eq!(read, Some(1));
    });
}

/// A hold inside of a pin is no hold of its own: the pin goes on. Caught: one that ends it.
#[test]
fn inside_a_pin() {
    beside((Kind::Symmetric, 2), &[1], |world| {
        let record = world.domain.lease();
        let pin = record.pin(&world.domain);
        let found = world.find(&pin, 1);
        assert_eq!(world.hold(record, 1, Value::copy), Some(1));
        assert_eq!(found.map(Value::copy), Some(1));
    });
}

/// A writer holds what it takes out and tells of it when it has left the lock and the epoch, and it may write then, beside another writer that
/// would use the slot. Caught: a hold that is none; a walk that does not look at holds.
#[test]
fn what_a_writer_tells_of() {
    let reused = Witness::default();
    check(Kind::Symmetric, 2, {
        let reused = reused.clone();
        move || {
            let reused = reused.clone();
            let world = Arc::new(World::new(8, 1));
            let record = world.domain.lease();
            world.insert(record, 1, Value::new(1));
            world.domain.release(record);
            race([
                racer(&world, |world| {
                    let record = world.domain.lease();
                    let told = world.take_and_tell(record, 1, |value| {
                        world.insert(record, 2, Value::new(2));
                        value.copy()
                    });
                    assert_eq!(told, Some(1));
                }),
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    world.insert(record, 3, Value::new(3));
                    if world.collect(0) {
                        reused.saw();
                    }
                    world.insert(record, 4, Value::new(4));
                }),
            ]);
            world.validate();
        }
    });
    reused.assert();
}
