//! Look, then lock: a writer looks a key up before it takes the lock, and trusts what it saw if the version still stands.
//!
//! The bug: it trusts a look that is older than the version, and files a key twice or replaces what is no longer there.

use super::world::World;
use super::{Kind, check, race, racer};
use std::sync::Arc;

/// Two threads insert the same new key. Caught: a version that is stored without Release, read without Acquire, or does
/// not change with the index.
#[test]
fn a_key_is_filed_once() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(4, 1));
        race([1, 2].map(|value| {
            racer(&world, move |world| {
                let record = world.domain.lease();
                world.insert(record, 1, value);
            })
        }));
        assert_eq!(world.store.len(), 1);
        world.validate();
    });
}

/// One thread replaces a key while another removes it.
#[test]
fn a_key_is_replaced_beside_a_removal() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new(4, 1));
        let record = world.domain.lease();
        world.insert(record, 1, 1);
        world.domain.release(record);
        race([
            racer(&world, |world| {
                let record = world.domain.lease();
                world.insert(record, 1, 2);
            }),
            racer(&world, |world| {
                let record = world.domain.lease();
                world.remove(record, 1);
            }),
        ]);
        let record = world.domain.lease();
        assert_eq!(
            world.store.len(),
            usize::from(world.contains(record, 1)),
            "a token was lost"
        );
        world.validate();
    });
}
