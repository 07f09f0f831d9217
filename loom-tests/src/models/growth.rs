//! Growth: the table is replaced beside readers and writers.
//!
//! The bugs: a reader misses a key that was there throughout, enters a table that is not filled yet, or is still in the old
//! one when it is freed (the end of an atomic's life counts as an access to it); a writer of another shard files its key in
//! the old table, or takes a place there for one in the new. A shard's annex is replaced in the same way, but under its lock alone.

use super::world::{World, key_in, keys_in};
use super::{Kind, Witness, check, race, racer};
use std::sync::Arc;

/// As many keys as the first table has room for in a shard.
const KEYS: usize = 10;

/// A world whose first shard is full, and the key that makes it grow.
fn full(shards: usize) -> (World<u64>, u64) {
    let world = World::new((KEYS + 1) * shards, shards);
    let record = world.domain.lease();
    let mut keys = keys_in(0, shards);
    for key in keys.by_ref().take(KEYS) {
        world.insert(record, key, key);
    }
    world.domain.release(record);
    let next = keys.next().expect("there are always more");
    (world, next)
}

/// Caught: a table that is published without Release, entered without Acquire, freed at once, or published empty.
#[test]
fn beside_a_reader() {
    let freed = Witness::default();
    check(Kind::Symmetric, 2, {
        let freed = freed.clone();
        move || {
            let freed = freed.clone();
            let (world, next) = full(1);
            let world = Arc::new(world);
            race([
                racer(&world, |world| {
                    let record = world.domain.lease();
                    assert_eq!(world.get(record, 1, |it| *it), Some(1));
                    assert_eq!(world.get(record, 2, |it| *it), Some(2));
                }),
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    world.insert(record, next, next);
                    if world.collect(0) {
                        freed.saw();
                    }
                }),
            ]);
            world.validate();
        }
    });
    freed.assert();
}

/// An insertion in a shard, while another shard makes all move.
#[test]
fn beside_an_insertion_elsewhere() {
    check(Kind::Symmetric, 2, || {
        let (world, next) = full(2);
        let other = key_in(1, 2);
        let world = Arc::new(world);
        race([next, other].map(|key| {
            racer(&world, move |world| {
                let record = world.domain.lease();
                world.insert(record, key, key);
                assert!(world.contains(record, key));
            })
        }));
        let record = world.domain.lease();
        assert!(world.contains(record, next) && world.contains(record, other));
        assert_eq!(world.store.len(), KEYS + 2);
        world.validate();
    });
}

/// A replacement in a shard, while another shard makes all move. Caught: a growth that leaves the version as it was, so that
/// the writer takes a place in the old table for one in the new.
#[test]
fn beside_a_replacement_elsewhere() {
    check(Kind::Symmetric, 2, || {
        let (world, next) = full(2);
        // The second of the shard's keys: the new table has it in another place.
        let others: Vec<u64> = keys_in(1, 2).take(2).collect();
        let record = world.domain.lease();
        for &key in &others {
            world.insert(record, key, 1);
        }
        world.domain.release(record);
        let key = others[1];
        let world = Arc::new(world);
        race([(next, 1), (key, 2)].map(|(key, value)| {
            racer(&world, move |world| {
                let record = world.domain.lease();
                world.insert(record, key, value);
            })
        }));
        let record = world.domain.lease();
        assert_eq!(world.get(record, others[0], |it| *it), Some(1));
        assert_eq!(world.get(record, key, |it| *it), Some(2));
        world.validate();
    });
}

/// Shards of which one gets all keys, and so an annex.
const SHARDS: usize = 8;
/// As many keys as the table has room for in a shard, and the few more that fill the first annex: the last of them is in it.
const ANNEXED: usize = 21 + 3;

/// A shard's annex is replaced. Caught: one that is freed at once.
#[test]
fn of_an_annex_beside_a_reader() {
    let freed = Witness::default();
    check(Kind::Symmetric, 2, {
        let freed = freed.clone();
        move || {
            let freed = freed.clone();
            let world = World::new(4 * SHARDS, SHARDS);
            let record = world.domain.lease();
            let mut keys = keys_in(0, SHARDS);
            let mut last = 0;
            for key in keys.by_ref().take(ANNEXED) {
                world.insert(record, key, key);
                last = key;
            }
            world.domain.release(record);
            let next = keys.next().expect("there are always more");
            let world = Arc::new(world);
            race([
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    assert_eq!(world.get(record, last, |it| *it), Some(last));
                }),
                racer(&world, move |world| {
                    let record = world.domain.lease();
                    world.insert(record, next, next);
                    if world.collect(0) {
                        freed.saw();
                    }
                }),
            ]);
            world.validate();
        }
    });
    freed.assert();
}
