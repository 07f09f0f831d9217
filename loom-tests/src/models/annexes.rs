//! Annexes: a shard's is replaced beside readers and writers of the shard.
//!
//! The bugs: a reader is still in the old annex when that is freed (the end of an atomic's life counts as an access to it); a
//! writer takes a place in the old annex for one in the new.

use super::world::{World, keys_in};
use super::{Kind, Witness, check, race, racer};
use std::sync::Arc;

/// Shards of which one gets all keys, and so an annex.
const SHARDS: usize = 8;
/// As many keys as the shard's two buckets hold, and those that fill its first annex.
const ANNEXED: usize = 2 * 12 + 1;

/// A world whose first shard has an annex that is full, the key in there, and the next one, which has the annex replaced.
fn annexed(keys: usize) -> (World<u64>, u64, u64) {
    let world = World::new(4 * SHARDS, SHARDS);
    let record = world.domain.lease();
    let mut all = keys_in(0, SHARDS);
    let mut last = 0;
    for key in all.by_ref().take(keys) {
        world.insert(record, key, key);
        last = key;
    }
    world.domain.release(record);
    let next = all.next().expect("there are always more");
    (world, last, next)
}

/// Caught: an annex that is freed at once.
#[test]
fn beside_a_reader() {
    let freed = Witness::default();
    check(Kind::Symmetric, 2, {
        let freed = freed.clone();
        move || {
            let freed = freed.clone();
            let (world, last, next) = annexed(ANNEXED);
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

/// A key of the annex is replaced, while another key makes all of them move. Caught: a move that leaves the version as it was,
/// so that the writer takes a place in the old annex for one in the new.
#[test]
fn beside_a_replacement() {
    check(Kind::Symmetric, 2, || {
        // The last but one of the first three: the new annex has it in another place.
        let (world, last, next) = annexed(ANNEXED + 3);
        let world = Arc::new(world);
        race([(next, 1), (last, 2)].map(|(key, value)| {
            racer(&world, move |world| {
                let record = world.domain.lease();
                world.insert(record, key, value);
            })
        }));
        let record = world.domain.lease();
        assert_eq!(world.get(record, next, |it| *it), Some(1));
        assert_eq!(world.get(record, last, |it| *it), Some(2));
        for key in keys_in(0, SHARDS).take(ANNEXED + 2) {
            assert_eq!(world.get(record, key, |it| *it), Some(key));
        }
        world.validate();
    });
}
