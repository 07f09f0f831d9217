//! Pin, retire, collect.
//!
//! The bug: memory is used again while a reader that found it before it was unlinked still looks at it, or may do so
//! later. The link that readers follow is read and written Relaxed, so that nothing but the domain orders the two.

use super::{Kind, Witness, check, race, racer};
use crate::atomics::exchange_stores;
use crate::core::reclaim::{Domain, Grace, Pin, Record, Wait};
use crate::sync::{AtomicUsize, Ordering, UnsafeCell, thread};
use std::sync::Arc;

/// Links that lead to cells. A cell to which none leads any more is overwritten as soon as the domain says so.
struct World {
    domain: Domain,
    links: [AtomicUsize; 2],
    cells: [UnsafeCell<u64>; 4],
    /// Never written: a load lets other threads run, and a barrier take effect.
    pause: AtomicUsize,
    /// Written by the thread that has the record of the same index.
    counts: [UnsafeCell<u64>; 2],
    /// Leased by a thread that has read before.
    idle: Option<&'static Record>,
}

// SAFETY: threads share the cells only as loom allows; it reports anything else.
unsafe impl Sync for World {}

/// In a cell that has been overwritten.
const GONE: u64 = 0;

fn look(cell: &UnsafeCell<u64>) {
    // SAFETY: what the models are to show; loom reports a race otherwise.
    cell.with(|cell| assert_ne!(unsafe { *cell }, GONE));
}

impl World {
    fn new() -> Self {
        Self {
            domain: Domain::new(),
            links: std::array::from_fn(AtomicUsize::new),
            cells: std::array::from_fn(|_| UnsafeCell::new(1)),
            pause: AtomicUsize::new(0),
            counts: std::array::from_fn(|_| UnsafeCell::new(0)),
            idle: None,
        }
    }

    /// A world with a reader that has announced the present epoch and is outside.
    fn with_idle_reader() -> Self {
        let mut world = Self::new();
        let record = world.domain.lease();
        drop(record.pin(&world.domain));
        // SAFETY: the record lives as long as the domain, and `idle` is not used once the world is dropped.
        world.idle = Some(unsafe { &*std::ptr::from_ref(record) });
        world
    }

    fn idle_reader(&self) -> &Record {
        self.idle.expect("there is an idle reader")
    }

    /// The cell that a link leads to.
    fn follow<'p>(&'p self, _pin: &'p Pin<'_>, link: usize) -> &'p UnsafeCell<u64> {
        &self.cells[self.links[link].load(Ordering::Relaxed)]
    }

    fn read(&self, record: &Record, link: usize) {
        let pin = record.pin(&self.domain);
        let cell = self.follow(&pin, link);
        self.pause.load(Ordering::Relaxed);
        look(cell);
    }

    /// Makes a link lead to another cell; begins to wait for the one it led to.
    fn unlink(&self, link: usize) -> Wait {
        self.links[link].store(link + 2, Ordering::Relaxed);
        self.domain.seal()
    }

    /// Overwrites the cell that a link led to at first once its grace period has passed, if it does soon.
    fn collect(&self, link: usize, mut wait: Wait) -> bool {
        for _ in 0..3 {
            match self.domain.poll(&mut wait, u32::MAX) {
                Grace::Passed => {
                    self.overwrite(link);
                    return true;
                }
                Grace::Idle => self.domain.quiesce(wait.ticket()),
                Grace::Busy | Grace::Unknown => thread::yield_now(),
            }
        }
        false
    }

    fn overwrite(&self, link: usize) {
        // SAFETY: as in `look`.
        self.cells[link].with_mut(|cell| unsafe { *cell = GONE });
    }

    fn retire(&self, link: usize) -> bool {
        let wait = self.unlink(link);
        self.collect(link, wait)
    }
}

/// A reader that the domain has not heard of yet, or that was marked offline.
fn from_offline(kind: Kind) {
    let collected = Witness::default();
    check(kind, 3, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            let world = Arc::new(World::new());
            race([
                racer(&world, |world| {
                    let record = world.domain.lease();
                    world.read(record, 0);
                    world.read(record, 0);
                }),
                racer(&world, move |world| {
                    if world.retire(0) {
                        collected.saw();
                    }
                }),
            ]);
        }
    });
    collected.assert();
}

/// Caught: a poll or an announcement without its fence, an announcement that does not release the reads before it.
#[test]
fn from_offline_membarrier() {
    from_offline(Kind::Membarrier);
}

#[test]
fn from_offline_symmetric() {
    from_offline(Kind::Symmetric);
}

/// A reader that has announced the epoch which is about to end, comes back without announcing anything, is overtaken by a
/// collector, and comes back again.
fn keeps_its_epoch(kind: Kind) {
    let collected = Witness::default();
    check(kind, 3, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            let world = Arc::new(World::with_idle_reader());
            race([
                racer(&world, |world| {
                    world.read(world.idle_reader(), 0);
                    world.read(world.idle_reader(), 0);
                }),
                racer(&world, move |world| {
                    if world.retire(0) {
                        collected.saw();
                    }
                }),
            ]);
        }
    });
    collected.assert();
}

/// Caught: a quiesce without the heavy barrier or that takes a reader which is inside for idle, an unpin that does not
/// release its reads, a poll that does not acquire them, an epoch that is drawn Relaxed.
#[test]
fn keeps_its_epoch_membarrier() {
    keeps_its_epoch(Kind::Membarrier);
}

/// Caught: a pin that does not announce again where there is no heavy barrier.
#[test]
fn keeps_its_epoch_symmetric() {
    keeps_its_epoch(Kind::Symmetric);
}

/// Caught: a quiesce that does not wait until readers know that there is no heavy barrier any more, or tells them only then.
#[test]
fn keeps_its_epoch_forbidden() {
    keeps_its_epoch(Kind::Forbidden);
}

/// The heavy barrier is refused for the first time, and a second batch follows. Caught: readers that are never told.
#[test]
fn forbidden_twice() {
    let collected = Witness::default();
    check(Kind::Forbidden, 2, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            exchange_stores(true);
            let world = Arc::new(World::with_idle_reader());
            race([
                racer(&world, |world| {
                    world.read(world.idle_reader(), 0);
                    world.read(world.idle_reader(), 1);
                }),
                racer(&world, move |world| {
                    if world.retire(0) && world.retire(1) {
                        collected.saw();
                    }
                }),
            ]);
        }
    });
    collected.assert();
}

/// A pin inside another. Caught: an inner pin that ends the outer one's read.
#[test]
fn nested() {
    check(Kind::Membarrier, 3, || {
        let world = Arc::new(World::with_idle_reader());
        race([
            racer(&world, |world| {
                let outer = world.idle_reader().pin(&world.domain);
                let cell = world.follow(&outer, 0);
                world.read(world.idle_reader(), 0);
                look(cell);
            }),
            racer(&world, |world| {
                world.retire(0);
            }),
        ]);
    });
}

/// A writer marks a reader offline, and another, whose ticket is later, relies on that mark; or one whose ticket is earlier
/// marks the reader, relying on the other's barrier. Caught: a mark made without looking whether the reader is inside, a
/// barrier that is relied upon before it was issued.
fn two_writers(kind: Kind) {
    let collected = Witness::default();
    check(kind, 2, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            exchange_stores(true);
            let world = Arc::new(World::with_idle_reader());
            race([
                racer(&world, |world| world.read(world.idle_reader(), 0)),
                racer(&world, |world| {
                    let mut wait = world.domain.seal();
                    world.domain.quiesce(wait.ticket());
                    let _ = world.domain.poll(&mut wait, u32::MAX);
                }),
                racer(&world, move |world| {
                    let mut wait = world.unlink(0);
                    if world.domain.poll(&mut wait, u32::MAX) == Grace::Passed {
                        collected.saw();
                        world.overwrite(0);
                    }
                }),
            ]);
        }
    });
    collected.assert();
}

#[test]
fn two_writers_membarrier() {
    two_writers(Kind::Membarrier);
}

#[test]
fn two_writers_symmetric() {
    two_writers(Kind::Symmetric);
}

/// One batch after the other, each with a barrier of its own if the reader falls idle in between. Caught: the first one's
/// taken for the second one's.
#[test]
fn two_batches() {
    let collected = Witness::default();
    check(Kind::Membarrier, 2, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            exchange_stores(true);
            let world = Arc::new(World::with_idle_reader());
            race([
                racer(&world, |world| {
                    world.read(world.idle_reader(), 0);
                    world.read(world.idle_reader(), 1);
                }),
                racer(&world, move |world| {
                    if world.retire(0) && world.retire(1) {
                        collected.saw();
                    }
                }),
            ]);
        }
    });
    collected.assert();
}

/// A second reader, whose record is the last of its group. Caught: a walk that leaves one out.
#[test]
fn a_second_reader() {
    let collected = Witness::default();
    check(Kind::Membarrier, 2, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            let world = Arc::new(World::with_idle_reader());
            race([
                racer(&world, |world| {
                    let record = world.domain.lease();
                    world.read(record, 0);
                }),
                racer(&world, move |world| {
                    if world.retire(0) {
                        collected.saw();
                    }
                }),
            ]);
        }
    });
    collected.assert();
}

/// Two threads lease records, of which there is one: the other gets a new one, or that which the first gave back, with what is
/// counted under its index. Caught: a lease that two threads get, or that does not acquire what its last holder did; a release
/// that does not pass that on; a record that is published before it is whole.
#[test]
fn leases() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        world.domain.release(world.domain.lease());
        let reader = || {
            racer(&world, |world: &World| {
                let record = world.domain.lease();
                let pin = record.pin(&world.domain);
                // SAFETY: no other thread has the index; loom reports a race otherwise.
                world.counts[pin.index()].with_mut(|count| unsafe { *count += 1 });
                drop(pin);
                world.domain.release(record);
            })
        };
        race([reader(), reader()]);
    });
}

/// Two threads lease records for one pin each, after another has done so: they get the one that it has abandoned, or one of
/// theirs, or new ones. Caught: a record that is taken back by both, or while its pin lasts, or without what was done under its
/// number.
#[test]
fn abandoned() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        let count = |world: &World| {
            let pin = world.domain.lease_for_one_pin().pin(&world.domain);
            let pin = pin.and_abandon();
            // SAFETY: no other thread has the index; loom reports a race otherwise.
            world.counts[pin.index()].with_mut(|count| unsafe { *count += 1 });
        };
        count(&world);
        race([racer(&world, count), racer(&world, count)]);
        assert!(world.domain.lease_for_one_pin().pin(&world.domain).index() < 2);
    });
}

/// As many records as one group has are leased, and two threads need more. Caught: groups that are published before they are
/// whole; those of the thread that was slower in the place of the other's.
#[test]
fn more_groups() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new(World::new());
        assert_eq!([0, 1], [0, 1].map(|_| pinned_index(&world)));
        let reader = || {
            racer(&world, |world: &World| {
                let record = world.domain.lease();
                let index = record.pin(&world.domain).index();
                assert!((2..4).contains(&index));
                // SAFETY: no other thread has the index; loom reports a race otherwise.
                world.counts[index - 2].with_mut(|count| unsafe { *count += 1 });
            })
        };
        race([reader(), reader()]);
    });
}

/// Leases a record and keeps it.
fn pinned_index(world: &World) -> usize {
    world.domain.lease().pin(&world.domain).index()
}

/// A thread leases a record, which another thread may have given back at that moment, and reads, beside a writer. Caught: a
/// walk that does not see a lease or takes a record which was given back for one that nobody has read through.
#[test]
fn comes_and_goes() {
    let collected = Witness::default();
    check(Kind::Membarrier, 3, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            let world = Arc::new(World::new());
            race([
                racer(&world, |world| {
                    for _ in 0..2 {
                        let record = world.domain.lease();
                        world.read(record, 0);
                        world.domain.release(record);
                    }
                }),
                racer(&world, move |world| {
                    if world.retire(0) {
                        collected.saw();
                    }
                }),
            ]);
        }
    });
    collected.assert();
}

/// A reader leaves for good while a writer polls. Caught: a release that does not pass on the reads before it.
#[test]
fn leaves() {
    let collected = Witness::default();
    check(Kind::Membarrier, 3, {
        let collected = collected.clone();
        move || {
            let collected = collected.clone();
            let world = Arc::new(World::with_idle_reader());
            race([
                racer(&world, |world| {
                    world.read(world.idle_reader(), 0);
                    world.domain.release(world.idle_reader());
                }),
                racer(&world, move |world| {
                    if world.retire(0) {
                        collected.saw();
                    }
                }),
            ]);
        }
    });
    collected.assert();
}
