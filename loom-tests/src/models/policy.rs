//! The adaptive policy: reads beside a writer that moves entries between the segments, and shards that share one balance.
//!
//! The bugs: the list or its length is torn; what a shard has learned is lost.

use super::world::World;
use super::{Kind, check, race, racer};
use crate::core::policy::{Balance, Policy};
use std::sync::Arc;

/// Three keys, room for three; one is read while a fourth comes in.
#[test]
fn a_read_beside_an_eviction() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::with_policy(3, 1, Policy::Adaptive));
        let record = world.domain.lease();
        (1..=3).for_each(|key| world.insert(record, key, key));
        world.domain.release(record);
        race([
            racer(&world, |world| {
                let record = world.domain.lease();
                assert!(matches!(world.get(record, 3, |it| *it), None | Some(3)));
            }),
            racer(&world, |world| {
                let record = world.domain.lease();
                world.insert(record, 4, 4);
            }),
        ]);
        world.validate();
        let record = world.domain.lease();
        let there = (1..=4).filter(|&key| world.contains(record, key)).count();
        assert_eq!((there, world.store.len()), (3, 3));
        assert!(world.contains(record, 4));
    });
}

/// Two shards learn at the same time. Caught: a shift that overwrites another one.
#[test]
fn shards_shift_one_balance() {
    check(Kind::Symmetric, 3, || {
        let balance = Arc::new(Balance::new());
        let before = balance.share();
        race([1, 2].map(|hits| racer(&balance, move |balance| balance.shift(hits, 10))));
        let after = balance.share();
        balance.shift(1, 10);
        assert_eq!(after - before, 3 * (balance.share() - after));
    });
}
