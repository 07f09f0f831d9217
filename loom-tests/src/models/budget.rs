//! The key budget.
//!
//! The bugs: a token is handed out twice, so that the cache holds more than `max_keys` keys; or one is lost, so that it
//! holds fewer than it has room for.

use super::world::{World, key_in};
use super::{Kind, check, race, racer};
use crate::core::budget::Pool;
use std::sync::Arc;

/// Caught: a token that is taken with a load and a store.
#[test]
fn tokens_are_unique() {
    check(Kind::Symmetric, 3, || {
        let budget = Arc::new(Pool::new(2));
        let taker = || {
            racer(&budget, |budget: &Pool| {
                drop(budget.token());
                budget.token().expect("one for each").spend();
            })
        };
        race([taker(), taker()]);
        assert_eq!(budget.used(), 2);
        assert!(budget.token().is_none());
        drop(budget.reclaim());
        assert_eq!(budget.used(), 1);
    });
}

/// One key to each of two shards, inserted at the same time, with `max_keys` tokens: who finds none steals one.
fn insert_in_both(max_keys: usize, preemptions: usize) {
    check(Kind::Symmetric, preemptions, move || {
        let world = Arc::new(World::<u64>::new(max_keys, 2));
        let keys = [0, 1].map(|shard| key_in(shard, 2));
        race(keys.map(|key| {
            racer(&world, move |world| {
                let record = world.domain.lease();
                world.insert(record, key, key);
                assert!(world.store.len() <= max_keys);
            })
        }));
        let record = world.domain.lease();
        let present = keys.iter().filter(|&&key| world.contains(record, key));
        assert_eq!(present.count(), max_keys);
        assert_eq!(world.store.len(), max_keys);
        world.validate();
    });
}

/// Caught: a token that is taken with a load and a store, or not left with the entry that it was stolen for.
#[test]
fn one_token_for_two_shards() {
    insert_in_both(1, 2);
}

#[test]
fn two_tokens_for_two_shards() {
    insert_in_both(2, 3);
}

/// A token that a removal gives back in one shard serves an insertion in the other, which otherwise evicts or steals.
#[test]
fn a_token_comes_back() {
    check(Kind::Symmetric, 2, || {
        let world = Arc::new(World::<u64>::new(1, 2));
        let [old, new] = [0, 1].map(|shard| key_in(shard, 2));
        let record = world.domain.lease();
        world.insert(record, old, old);
        world.domain.release(record);
        race([
            racer(&world, move |world| {
                let record = world.domain.lease();
                world.remove(record, old);
            }),
            racer(&world, move |world| {
                let record = world.domain.lease();
                world.insert(record, new, new);
            }),
        ]);
        let record = world.domain.lease();
        assert!(!world.contains(record, old) && world.contains(record, new));
        assert_eq!(world.store.len(), 1);
        world.validate();
    });
}
