//! The domain: one epoch, and a record for every thread that reads.

use super::barrier::Barrier;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, CachePadded, Ordering, fence};
use std::marker::PhantomData;

/// `Record::state` is one word:
///
/// | state | bits | who may change it |
/// |---|---|---|
/// | offline | `0` | the reader, to inside |
/// | outside, announced epoch `e` | `e << 1` | the reader, to inside; a collector, to offline |
/// | inside, announced epoch `e` | `e << 1 \| INSIDE` | the reader |
const OFFLINE: u64 = 0;
const INSIDE: u64 = 1;

/// The first epoch; 0 is kept for 'offline'.
const FIRST_EPOCH: u64 = 1;

/// The epoch that a batch of unlinked memory waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// What a poll found out about a grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grace {
    /// Nobody can hold what was unlinked before the ticket was drawn.
    Passed,
    /// Some thread is in a read that began before.
    Busy,
    /// Nobody is known to be in such a read, but an idle thread has to be asked: call [`Domain::quiesce`], poll again.
    Idle,
}

/// All threads that read, and the epoch they announce.
#[derive(Debug)]
pub(crate) struct Domain {
    epoch: CachePadded<AtomicU64>,
    /// Head of the list of records; records are only ever added.
    records: AtomicPtr<Record>,
    len: AtomicUsize,
}

/// A thread's place in the domain.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Record {
    state: AtomicU64,
    /// Whether a thread holds this record now.
    leased: AtomicBool,
    index: usize,
    /// Whether [`Barrier::light`] may be light; a copy, so that a pin finds it on its own line.
    barrier: Barrier,
    next: *mut Record,
}

// SAFETY: `next` is written before the record is published and never again, and the record it points to lives as long as
// the domain (`Domain::drop` frees them all, and has the domain to itself).
unsafe impl Send for Record {}
// SAFETY: as above; all other fields are atomics or never change.
unsafe impl Sync for Record {}

impl Domain {
    #[cfg(not(nori_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            epoch: CachePadded(AtomicU64::new(FIRST_EPOCH)),
            records: AtomicPtr::new(std::ptr::null_mut()),
            len: AtomicUsize::new(0),
        }
    }

    #[cfg(nori_loom)]
    pub(crate) fn new() -> Self {
        Self {
            epoch: CachePadded(AtomicU64::new(FIRST_EPOCH)),
            records: AtomicPtr::new(std::ptr::null_mut()),
            len: AtomicUsize::new(0),
        }
    }

    /// How many records there are: as many as threads have read at the same time.
    pub(crate) fn records(&self) -> usize {
        // Relaxed: a hint for batch sizes.
        self.len.load(Ordering::Relaxed)
    }

    /// Leases a record to the calling thread, which gives it back with [`Record::release`].
    pub(crate) fn lease(&self) -> &Record {
        self.iter()
            .find(|record| record.try_lease())
            .unwrap_or_else(|| self.add_record())
    }

    #[cold]
    fn add_record(&self) -> &Record {
        // Relaxed: the counter only hands out distinct indices.
        let index = self.len.fetch_add(1, Ordering::Relaxed);
        let record = Box::into_raw(Box::new(Record {
            state: AtomicU64::new(OFFLINE),
            leased: AtomicBool::new(true),
            index,
            barrier: Barrier::get(),
            next: std::ptr::null_mut(),
        }));
        // Relaxed: the exchange below confirms it.
        let mut head = self.records.load(Ordering::Relaxed);
        loop {
            // SAFETY: the record is not shared before the exchange succeeds.
            unsafe { (*record).next = head };
            // Release: pairs with the Acquire in `iter`; who reaches the record sees it initialised. That a poll which
            // misses it altogether does no harm is the 'offline' argument of the module: the push precedes the fence of
            // the record's first pin.
            match self.records.compare_exchange_weak(
                head,
                record,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                // SAFETY: just allocated, and freed only with the domain, which outlives the borrow of `self`.
                Ok(_) => return unsafe { &*record },
                Err(current) => head = current,
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Record> {
        // Acquire: pairs with the Release in `add_record`, for this record and, as each push read its predecessor's, all
        // behind it.
        let mut next = self.records.load(Ordering::Acquire);
        std::iter::from_fn(move || {
            // SAFETY: `next` is null or a record of this domain, which lives as long as the domain.
            let record = unsafe { next.as_ref() }?;
            next = record.next;
            Some(record)
        })
    }

    /// Draws the ticket for all that the caller has unlinked so far.
    pub(crate) fn seal(&self) -> Ticket {
        // AcqRel: Release pairs with the Acquire in `Record::pin`; who announces the new epoch sees what was unlinked.
        // Acquire makes the increments one chain, so that this holds for every later epoch too.
        Ticket(self.epoch.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Whether the ticket's grace period has passed. Never waits.
    pub(crate) fn poll(&self, ticket: Ticket) -> Grace {
        // SeqCst: pairs with the fence in `Record::announce`: either we see the announcement, or the reader sees what was
        // unlinked before the ticket.
        fence(Ordering::SeqCst);
        let mut grace = Grace::Passed;
        for record in self.iter() {
            // Acquire: pairs with the Release in unpin and announce; the reads before it happened before what we do next.
            let state = record.state.load(Ordering::Acquire);
            if state == OFFLINE || state >> 1 >= ticket.0 {
                continue;
            }
            if state & INSIDE != 0 {
                return Grace::Busy;
            }
            grace = Grace::Idle;
        }
        grace
    }

    /// Takes the threads that lag behind the ticket and are outside offline, so that a poll need not wait for them. Without a
    /// barrier they stay as they are, and the poll waits until they read again.
    #[cold]
    pub(crate) fn quiesce(&self, ticket: Ticket) {
        if !Barrier::get().heavy() {
            return;
        }
        for record in self.iter() {
            // Acquire: as in `poll`.
            let state = record.state.load(Ordering::Acquire);
            if state != OFFLINE && state & INSIDE == 0 && state >> 1 < ticket.0 {
                // AcqRel: the Release half passes on, to the Acquire of a later poll, the reads that the thread's own
                // Release unpin stands for (this exchange continues its release sequence). Failure: the thread is back.
                let _ = record.state.compare_exchange(
                    state,
                    OFFLINE,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
            }
        }
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // Relaxed: `&mut self` means that no other thread is left.
        let mut next = self.records.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: each record was made by `Box::into_raw` in `add_record` and is freed only here; `lease` ties all
            // borrows to the domain's.
            let record = unsafe { Box::from_raw(next) };
            next = record.next;
        }
    }
}

impl Record {
    fn try_lease(&self) -> bool {
        // Relaxed read first, so that a search does not write every record. Acquire: pairs with the Release in `release`;
        // whoever held the record before has finished with it and with all that is counted under its index.
        !self.leased.load(Ordering::Relaxed)
            && self
                .leased
                .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Gives the record back. The thread must not be pinned through it.
    pub(crate) fn release(&self) {
        // Release: pairs with the Acquire in `poll`.
        self.state.store(OFFLINE, Ordering::Release);
        // Release: pairs with the Acquire in `try_lease`.
        self.leased.store(false, Ordering::Release);
    }

    /// Begins a read: what is reachable from now on stays as it is until the pin is dropped.
    ///
    /// Only the thread that leased the record may call this. Nested pins are free and share the outer one's fate.
    #[inline(always)]
    pub(crate) fn pin<'d>(&'d self, domain: &'d Domain) -> Pin<'d> {
        // Relaxed: the only other writer is a collector that marks us offline, which the epoch check below notices.
        let state = self.state.load(Ordering::Relaxed);
        if state & INSIDE != 0 {
            return Pin::new(self, state);
        }
        // Relaxed: the barrier orders it.
        self.state.store(state | INSIDE, Ordering::Relaxed);
        // Pairs with the heavy barrier in `quiesce`: it sees us inside, or we see the epoch of its ticket.
        self.barrier.light();
        // Acquire: pairs with the Release in `seal`; what was unlinked before this epoch stays unseen.
        let epoch = domain.epoch.load(Ordering::Acquire);
        if state >> 1 != epoch {
            self.announce(epoch);
        }
        Pin::new(self, epoch << 1)
    }

    #[cold]
    fn announce(&self, epoch: u64) {
        // Release: pairs with the Acquire in `poll`; our earlier reads are over.
        self.state.store(epoch << 1 | INSIDE, Ordering::Release);
        // SeqCst: pairs with the fence in `poll`, for a collector that took us for offline.
        fence(Ordering::SeqCst);
    }
}

/// While this lives, nothing that the thread can reach is reused or freed.
#[derive(Debug)]
pub(crate) struct Pin<'d> {
    record: &'d Record,
    /// The record's state when the pin ends: outside, or, for a pin inside another, as it is; [`LONE`] to give it back.
    after: u64,
    /// A pin belongs to its thread.
    not_send: PhantomData<*const ()>,
}

/// The record was leased for this pin alone. No epoch gets there.
const LONE: u64 = u64::MAX;

impl<'d> Pin<'d> {
    #[inline(always)]
    fn new(record: &'d Record, after: u64) -> Self {
        Self {
            record,
            after,
            not_send: PhantomData,
        }
    }

    /// A small number that no other thread has while this one holds its record.
    #[inline(always)]
    pub(crate) fn index(&self) -> usize {
        self.record.index
    }

    /// Makes the pin give its record back when it ends.
    #[cfg(not(nori_loom))]
    pub(super) fn and_release(mut self) -> Self {
        self.after = LONE;
        self
    }
}

impl Drop for Pin<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.after == LONE {
            self.record.release();
        } else {
            // Release: pairs with the Acquire in `poll` and `quiesce`; our reads end here.
            self.record.state.store(self.after, Ordering::Release);
        }
    }
}
