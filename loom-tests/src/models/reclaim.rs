//! Pin, retire, collect.
//!
//! The bug: memory is used again while a reader that found it before it was unlinked still looks at it, or may do so
//! later. The pointer that readers follow is read and written Relaxed, so that nothing but the domain orders the two.

use super::{Kind, Witness, check, race, racer};
use crate::core::reclaim::domain::Record;
use crate::core::reclaim::{Domain, Grace, Pin, Ticket};
use crate::sync::{AtomicUsize, Ordering, UnsafeCell, thread};
use std::sync::Arc;

/// Links that lead to cells. A cell that is not linked any more is overwritten as soon as the domain says so.
struct World {
    domain: Domain,
    links: [AtomicUsize; 2],
    cells: [UnsafeCell<u64>; 4],
}

/// In a cell that has been overwritten.
const GONE: u64 = 0;

impl World {
    fn new() -> Self {
        Self {
            domain: Domain::new(),
            links: std::array::from_fn(AtomicUsize::new),
            cells: std::array::from_fn(|_| UnsafeCell::new(1)),
        }
    }

    /// A world in which a thread that is idle now has announced the present epoch; and its record, which the caller leases.
    fn with_idle_record() -> Self {
        let world = Self::new();
        let record = world.domain.lease();
        drop(record.pin(&world.domain));
        world.give_back(record);
        world
    }

    /// Makes a record free to be leased without taking it offline.
    fn give_back(&self, record: &Record) {
        record.hand_over();
    }

    /// Follows a link.
    fn look(&self, _pin: &Pin<'_>, link: usize) {
        let cell = self.links[link].load(Ordering::Relaxed);
        // SAFETY: what the model is to show; loom reports a race otherwise.
        self.cells[cell].with(|cell| assert_ne!(unsafe { *cell }, GONE));
    }

    fn read(&self, record: &Record, link: usize) {
        self.look(&record.pin(&self.domain), link);
    }

    /// Makes a link lead to another cell; returns the ticket for what it led to.
    fn relink(&self, link: usize) -> Ticket {
        self.links[link].store(link + 2, Ordering::Relaxed);
        self.domain.seal()
    }

    /// Overwrites the cell that a link led to at first, once the grace period has passed, if it does soon.
    fn collect(&self, link: usize, ticket: Ticket, collected: &Witness) {
        for _ in 0..3 {
            match self.domain.poll(ticket) {
                Grace::Passed => {
                    collected.saw();
                    // SAFETY: as in `look`.
                    self.cells[link].with_mut(|cell| unsafe { *cell = GONE });
                    return;
                }
                Grace::Idle => self.domain.quiesce(ticket),
                Grace::Busy => thread::yield_now(),
            }
        }
    }
}
