//! Slot reuse: a reader is in an entry that a writer takes out, drops, and puts another in the place of.
//!
//! The bug: the entry is dropped, or its slot filled again, while the reader is in it.

use super::world::World;
use super::{Kind, Witness, check, race, racer};
use crate::sync::UnsafeCell;
use std::sync::Arc;

/// A value that reads on clone and writes on drop.
pub(super) struct Value(UnsafeCell<u64>);

// SAFETY: threads share the cell only as loom allows; it reports anything else.
unsafe impl Sync for Value {}

/// In a value that has been dropped.
const GONE: u64 = 0;

impl Value {
    pub(super) fn new(it: u64) -> Self {
        Self(UnsafeCell::new(it))
    }

    pub(super) fn copy(&self) -> u64 {
        // SAFETY: what the models are to show; loom reports a race otherwise.
        let it = self.0.with(|it| unsafe { *it });
        assert_ne!(it, GONE);
        it
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: we have the value to ourselves, unless what the models are to show is wrong.
            self.0.with_mut(|it| unsafe { *it = GONE });
        }
    }
}

/// Runs `write` in a world of one key, 1 under 1, beside a reader that looks so many times and may see `expected` under it.
fn beside(
    (kind, preemptions): (Kind, usize),
    looks: usize,
    write: impl Fn(&World<Value>) -> bool + Copy + Send + Sync + 'static,
    expected: impl Fn(Option<u64>) -> bool + Copy + Send + Sync + 'static,
) {
    let reused = Witness::default();
    check(kind, preemptions, {
        let reused = reused.clone();
        move || {
            let reused = reused.clone();
            let world = Arc::new(World::new(4, 1));
            let record = world.domain.lease();
            world.insert(record, 1, Value::new(1));
            world.domain.release(record);
            race([
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    for _ in 0..looks {
                        assert!(expected(world.get(record, 1, Value::copy)));
                    }
                }),
                racer(&world, move |world| {
                    if write(world) {
                        reused.saw();
                    }
                }),
            ]);
            world.validate();
        }
    });
    reused.assert();
}

/// Caught: a slot that is ready before its grace period has passed.
#[test]
fn a_replaced_entry() {
    beside(
        (Kind::Symmetric, 2),
        1,
        |world| {
            let record = world.domain.lease();
            world.insert(record, 1, Value::new(2));
            let collected = world.collect(0);
            // Into the slot of the first one, if that was collected.
            world.insert(record, 1, Value::new(3));
            collected
        },
        |seen| matches!(seen, Some(1..=3)),
    );
}

/// A second entry leaves while the batch of the first one waits. Caught: a slot that joins a batch whose ticket has been
/// drawn.
#[test]
fn two_entries_in_turn() {
    beside(
        (Kind::Symmetric, 2),
        1,
        |world| {
            let record = world.domain.lease();
            world.insert(record, 1, Value::new(2));
            world.insert(record, 1, Value::new(3));
            world.collect(0)
        },
        |seen| matches!(seen, Some(1..=3)),
    );
}

fn a_removed_entry(bounds: (Kind, usize)) {
    beside(
        bounds,
        // Between two, the reader is idle.
        2,
        |world| {
            let record = world.domain.lease();
            assert!(world.remove(record, 1));
            let collected = world.collect(0);
            world.insert(record, 2, Value::new(2));
            collected
        },
        |seen| matches!(seen, None | Some(1)),
    );
}

/// Caught: an entry that is retired before it is taken out of the index.
#[test]
fn a_removed_entry_symmetric() {
    a_removed_entry((Kind::Symmetric, 2));
}

/// Caught: a batch that waits for busy readers, but does not ask idle ones.
#[test]
fn a_removed_entry_membarrier() {
    a_removed_entry((Kind::Membarrier, 1));
}

/// The entries of the last segment leave one after the other, and its memory is given back beside a reader of the second. Caught:
/// a segment that is given back before all of its slots are vacant, or that is used again when it is not there any more.
#[test]
fn a_segment_is_given_back() {
    let given_back = Witness::default();
    check(Kind::Symmetric, 2, {
        let given_back = given_back.clone();
        move || {
            let given_back = given_back.clone();
            let world = Arc::new(World::new(4, 1));
            let record = world.domain.lease();
            // The first two segments have one slot each, the third has two.
            for key in [2, 3, 4, 1] {
                world.insert(record, key, Value::new(key));
            }
            world.domain.release(record);
            race([
                racer(&world, |world| {
                    let record = world.domain.lease();
                    let seen = world.get(record, 1, Value::copy);
                    assert!(matches!(seen, None | Some(1 | 5)));
                }),
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    let capacity = || world.store.shards()[0].backlog().1;
                    assert!(world.remove(record, 4));
                    world.collect(0);
                    assert_eq!(capacity(), 4);
                    assert!(world.remove(record, 1));
                    if world.collect(0) {
                        given_back.saw();
                        assert_eq!(capacity(), 2);
                    }
                    world.insert(record, 1, Value::new(5));
                }),
            ]);
            world.validate();
        }
    });
    given_back.assert();
}

/// Without a word to collect: batches turn as the writes go on. Caught: a batch that is not waited for.
#[test]
fn writes_turn_the_batches() {
    beside(
        (Kind::Symmetric, 1),
        2,
        |world| {
            let record = world.domain.lease();
            (2..=7).for_each(|it| world.insert(record, 1, Value::new(it)));
            true
        },
        |seen| matches!(seen, Some(1..=7)),
    );
}
