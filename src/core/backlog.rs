//! Tests of what waits to be dropped, and of what looking for readers costs: store, limbo and reclamation together, in a domain
//! of their own, so that nothing depends on what other threads do.

use super::index::Route;
use super::meta::NEVER;
use super::reclaim::{Domain, Record};
use super::store::Store;
use super::write::Write;

struct World {
    domain: Domain,
    store: Store<u64, u64>,
}

impl World {
    fn new(max_keys: usize, shards: usize) -> Self {
        Self {
            domain: Domain::new(),
            store: Store::new(max_keys, shards),
        }
    }

    /// Records of as many threads, each of which has read once.
    fn readers(&self, count: usize) -> Vec<&Record> {
        let records: Vec<_> = (0..count).map(|_| self.domain.lease()).collect();
        for record in &records {
            drop(record.pin(&self.domain));
        }
        records
    }

    /// Inserts a key; returns how much of what was to be dropped this write was left with.
    fn insert(&self, writer: &Record, key: u64, deadline: u64) -> usize {
        self.insert_at(writer, Route::new(key), key, deadline)
    }

    fn insert_at(&self, writer: &Record, route: Route, key: u64, deadline: u64) -> usize {
        let mut write = Write::new(&self.store, &self.domain, writer.pin(&self.domain), 1);
        write.insert(route, deadline, key, key);
        write.garbage()
    }

    fn waiting(&self) -> usize {
        self.backlogs().map(|(waiting, _)| waiting).sum()
    }

    fn capacity(&self) -> usize {
        self.backlogs().map(|(_, capacity)| capacity).sum()
    }

    fn backlogs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.store.shards().iter().map(|shard| shard.backlog())
    }

    fn validate(&self) {
        self.store.validate();
    }
}

/// Whatever number of threads there are, and wherever among them the one that takes its time is.
#[test]
fn a_write_beside_a_reader_that_takes_its_time_looks_at_one_record() {
    const READERS: usize = 10_000;
    for parked in [0, READERS / 2, READERS - 1] {
        let world = World::new(50_000, 4);
        let readers = world.readers(READERS);
        let writer = world.domain.lease();
        let pin = readers[parked].pin(&world.domain);
        let mut most = 0;
        for key in 0..50_000 {
            let before = world.domain.looks();
            world.insert(writer, key, NEVER);
            most = most.max(world.domain.looks() - before);
        }
        // One that has been waited for already is not looked for again.
        let looks = world.domain.looks();
        assert!(looks <= 50_000 + 4 * READERS as u64, "{looks} looks");
        assert!(most <= 64, "{most} looks in one write");
        drop(pin);
    }
}

/// While entries are replaced, too: then batch after batch is waited for.
#[test]
fn writes_beside_many_idle_readers_look_at_few_of_them() {
    let world = World::new(1_000, 1);
    let readers = world.readers(2_000);
    let writer = world.domain.lease();
    let mut most = 0;
    for key in 0..100_000 {
        world.insert(writer, key, NEVER);
        most = most.max(world.waiting());
    }
    let looks = world.domain.looks();
    assert!(looks <= 100_000 * 9, "{looks} looks");
    // Three batches, each of which fills while a walk goes over all readers.
    assert!(most <= 3 * (256 + readers.len() / 8), "{most} wait");
}

/// Replaced annexes wait, and more threads than a write looks at are idle.
#[test]
fn a_clear_behind_replaced_annexes_drops_what_nobody_looks_at() {
    let world = World::new(10_000, 64);
    let _readers = world.readers(200);
    let writer = world.domain.lease();
    let size = || world.store.index().annex_buckets(0);
    let (mut sizes, mut key) = (vec![0], 0_u64);
    while sizes.len() < 4 {
        // Of one shard, whatever the key.
        let route = Route::of_spread(key.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 6);
        world.insert_at(writer, route, key, NEVER);
        key += 1;
        if sizes.last() != Some(&size()) {
            sizes.push(size());
        }
    }
    world.store.clear(&world.store.context(&world.domain, 1));
    assert_eq!(world.waiting(), 0);
}

#[test]
fn what_waits_does_not_grow_with_threads_that_have_ended() {
    let world = World::new(10, 1);
    let mut readers = world.readers(5_000);
    // One of them lives on.
    readers.swap_remove(3_333);
    for record in readers {
        world.domain.release(record);
    }
    let writer = world.domain.lease();
    let mut most = 0;
    for key in 0..10_000 {
        world.insert(writer, key, NEVER);
        most = most.max(world.waiting());
    }
    assert!(most <= 64, "{most} wait to be dropped");
    let looks = world.domain.looks();
    assert!(looks <= 10_000 * 9, "{looks} looks");
}

#[test]
fn a_backlog_is_dropped_in_proportion() {
    const BACKLOG: u64 = 200_000;
    let world = World::new(100, 1);
    let reader = world.domain.lease();
    let writer = world.domain.lease();
    let pin = reader.pin(&world.domain);
    for key in 0..BACKLOG {
        world.insert(writer, key, NEVER);
    }
    assert!(world.waiting() as u64 >= BACKLOG - 200);
    drop(pin);
    let (mut writes, mut most) = (0, 0);
    while world.waiting() > 64 {
        most = most.max(world.insert(writer, BACKLOG + writes, NEVER));
        writes += 1;
        assert!(writes < BACKLOG, "{} still wait", world.waiting());
    }
    assert!(writes < BACKLOG / 12, "{writes} writes");
    assert!(most <= 18, "{most} dropped by one write");
    world.validate();
}

#[test]
fn the_slots_of_a_burst_are_given_back() {
    for deadline in [NEVER, 1_000] {
        let world = World::new(100, 1);
        let reader = world.domain.lease();
        let writer = world.domain.lease();
        let usual = world.capacity();
        let mut next = 0;
        for _ in 0..3 {
            let pin = reader.pin(&world.domain);
            for _ in 0..100_000 {
                world.insert(writer, next, deadline);
                next += 1;
            }
            assert!(world.capacity() > 100_000);
            drop(pin);
            while world.capacity() > 2 * usual {
                world.insert(writer, next, deadline);
                next += 1;
                assert!(next < 1_000_000, "room for {}", world.capacity());
            }
            world.validate();
        }
    }
}

/// An entry that a reader looks at stays where it is, whatever is given back around it.
#[test]
fn what_a_reader_looks_at_is_not_given_back() {
    let world = World::new(100, 1);
    let (early, late) = (world.domain.lease(), world.domain.lease());
    let writer = world.domain.lease();
    let pin = early.pin(&world.domain);
    for key in 0..10_000 {
        world.insert(writer, key, NEVER);
    }
    // The last entry is in the last segment.
    let theirs = late.pin(&world.domain);
    let found = |key: u64| {
        let route = Route::new(key);
        world.store.find(&theirs, route, move |it| *it == key)
    };
    let hit = found(9_999).expect("it was just inserted");
    let before = world.capacity();
    drop(pin);
    for key in 10_000..30_000 {
        world.insert(writer, key, NEVER);
    }
    assert!(found(9_999).is_none());
    assert_eq!((hit.entry.key, hit.entry.value), (9_999, 9_999));
    assert!(world.capacity() >= before);
    drop(theirs);
    for key in 30_000..60_000 {
        world.insert(writer, key, NEVER);
    }
    assert!(world.capacity() < before / 10, "{}", world.capacity());
}

/// Nor does a hold keep anything else: neither what else has left, nor the slots around it.
#[test]
fn what_is_held_stays_and_nothing_else_waits() {
    let world = World::new(100, 1);
    let (reader, writer) = (world.domain.lease(), world.domain.lease());
    for key in 0..100 {
        world.insert(writer, key, NEVER);
    }
    let hold = |key: u64| {
        let route = Route::new(key);
        let pin = reader.pin(&world.domain);
        let hit = world.store.find(&pin, route, move |it| *it == key)?;
        Some(world.store.hold(hit.found(), pin))
    };
    let held: Vec<_> = (0..100).filter_map(hold).collect();
    let usual = world.capacity();
    let mut most = 0;
    for key in 100..100_000 {
        world.insert(writer, key, NEVER);
        most = most.max(world.waiting());
    }
    assert_eq!(held.len(), 100);
    assert!((100..200).contains(&most), "{most} wait");
    assert!(
        world.capacity() <= 2 * usual.max(200),
        "{}",
        world.capacity()
    );
    for (key, held) in (0..).zip(&held) {
        assert_eq!((held.entry().key, held.entry().value), (key, key));
    }
    world.validate();
    drop(held);
    for key in 100_000..101_000 {
        world.insert(writer, key, NEVER);
    }
    assert!(world.waiting() <= 64, "{} wait", world.waiting());
    world.validate();
}
