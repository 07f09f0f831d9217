//! The domain: one epoch, and a record for every thread that reads.

use super::barrier::{self, Refused, Settling};
use super::record::{ABANDONED, INSIDE, OFFLINE, Pin, Record};
use super::records::{Next, Records};
use crate::sync::{AtomicU64, CachePadded, Ordering, compiler_fence, fence};

/// The first epoch; 0 is kept for 'offline', and [`INSIDE`] for that: epochs are even.
const FIRST_EPOCH: u64 = 2;
const NEXT: u64 = 2;

/// In `Domain::epoch`, above the epoch itself: every pin is to announce, with the full fence. An announced epoch is never equal
/// to a word with this bit, so readers need not look for it.
const FENCED: u64 = 1 << 63;

/// In `Domain::asked`: every record that is outside may be marked offline.
const ALWAYS: u64 = u64::MAX;

/// The epoch that a batch of unlinked memory waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

/// A wait for a ticket's grace period: how far the walk over the records has come. A record that it has passed is passed for
/// good, as only reads from before the ticket are waited for.
#[derive(Debug)]
pub(crate) struct Wait {
    ticket: Ticket,
    /// The record to look at next.
    at: usize,
    /// The first of the idle records that have been skipped.
    idle: Option<usize>,
    /// How many leased records have been looked at.
    looked: u32,
}

/// What a poll found out about a grace period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grace {
    /// Nobody can hold what was unlinked before the ticket was drawn.
    Passed,
    /// Some thread is in a read that began before.
    Busy,
    /// Nobody is known to be in such a read, but an idle thread has to be asked: call [`Domain::quiesce`], poll again.
    Idle,
    /// There are more records than the poll was to look at: poll again.
    Unknown,
}

/// All threads that read, and the epoch they announce.
#[derive(Debug)]
pub(crate) struct Domain {
    /// The epoch, and [`FENCED`].
    epoch: CachePadded<AtomicU64>,
    /// A heavy barrier has been issued since this ticket was drawn.
    asked: AtomicU64,
    settling: Settling,
    records: Records,
    /// How many records polls have looked at.
    #[cfg(all(test, not(nori_loom)))]
    looks: AtomicU64,
}

impl Wait {
    pub(crate) fn ticket(&self) -> Ticket {
        self.ticket
    }

    /// How many threads there were to wait for, as far as the walk has come.
    pub(crate) fn looked(&self) -> u32 {
        self.looked
    }

    /// The walk is through.
    fn end(&mut self) -> Grace {
        match self.idle.take() {
            None => Grace::Passed,
            Some(first) => {
                self.at = first;
                Grace::Idle
            }
        }
    }
}

impl Domain {
    #[cfg(not(nori_loom))]
    pub(crate) const fn new() -> Self {
        Self {
            epoch: CachePadded(AtomicU64::new(FIRST_EPOCH)),
            asked: AtomicU64::new(0),
            settling: Settling::new(),
            records: Records::new(),
            #[cfg(test)]
            looks: AtomicU64::new(0),
        }
    }

    #[cfg(nori_loom)]
    pub(crate) fn new() -> Self {
        Self {
            epoch: CachePadded(AtomicU64::new(FIRST_EPOCH)),
            asked: AtomicU64::new(0),
            settling: Settling::new(),
            records: Records::new(),
        }
    }

    /// Leases a record to the calling thread, which gives it back with [`Domain::release`].
    #[cold]
    pub(crate) fn lease(&self) -> &Record {
        if !barrier::has_heavy() {
            // Relaxed: the thread itself sees the bit when it pins, and every other thread has been here too. So there never is
            // a light pin.
            self.epoch.fetch_or(FENCED, Ordering::Relaxed);
            // Release: pairs with the Acquire in `look`, which relies on nothing but the readers' fences.
            self.asked.fetch_max(ALWAYS, Ordering::Release);
        }
        self.records.lease()
    }

    /// Takes a record back. The thread must not be pinned through it.
    pub(crate) fn release(&self, record: &Record) {
        // Release: pairs with the Acquire in `look`.
        record.state.store(OFFLINE, Ordering::Release);
        self.records.release(record);
    }

    /// Leases a record for one pin, which [`Pin::and_abandon`]s it.
    #[cold]
    pub(crate) fn lease_for_one_pin(&self) -> &Record {
        self.reap();
        self.lease()
    }

    /// Takes the records back that have been abandoned.
    fn reap(&self) {
        let mut at = 0;
        loop {
            match self.records.next(at) {
                Next::End => return,
                Next::Nobody(next) => at = next,
                Next::Record(record) => {
                    // Acquire: pairs with the Release in unpin, and goes on to who leases the record next. Failure, Relaxed: it is
                    // in use, or somebody else takes it back.
                    let reaped = record.state.compare_exchange(
                        ABANDONED,
                        OFFLINE,
                        Ordering::Acquire,
                        Ordering::Relaxed,
                    );
                    if reaped.is_ok() {
                        self.records.release(record);
                    }
                    at = record.index + 1;
                }
            }
        }
    }

    /// All records, leased or not.
    #[cfg(not(nori_loom))]
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.all()
    }

    /// Draws the ticket for all that the caller has unlinked so far, and begins to wait for it.
    pub(crate) fn seal(&self) -> Wait {
        // AcqRel: Release pairs with the Acquire in `Record::pin`; who announces the new epoch sees what was unlinked.
        // Acquire makes the increments one chain, so that this holds for every later epoch too.
        let before = self.epoch.fetch_add(NEXT, Ordering::AcqRel);
        Wait {
            ticket: Ticket((before + NEXT) & !FENCED),
            at: 0,
            idle: None,
            looked: 0,
        }
    }

    /// Whether the ticket's grace period has passed. Never waits. Goes on with the walk over the records where the last poll
    /// stopped: at a record that was busy, or when it had looked at `looks` of them.
    pub(crate) fn poll(&self, wait: &mut Wait, looks: u32) -> Grace {
        // SeqCst: pairs with the fence in `Record::announce`: either we see the announcement, or the reader sees what was
        // unlinked before the ticket.
        fence(Ordering::SeqCst);
        for _ in 0..looks {
            #[cfg(all(test, not(nori_loom)))]
            self.looks.fetch_add(1, Ordering::Relaxed);
            match self.records.next(wait.at) {
                Next::End => return wait.end(),
                Next::Nobody(next) => wait.at = next,
                Next::Record(record) => {
                    let index = record.index;
                    match self.look(record, wait.ticket) {
                        Grace::Passed => {}
                        Grace::Idle => _ = wait.idle.get_or_insert(index),
                        other => {
                            wait.at = index;
                            return other;
                        }
                    }
                    wait.looked += 1;
                    wait.at = index + 1;
                }
            }
        }
        Grace::Unknown
    }

    /// What one record says about a ticket.
    fn look(&self, record: &Record, ticket: Ticket) -> Grace {
        // Acquire: pairs with the Release in unpin and announce; the reads before it happened before what we do next.
        let state = record.state.load(Ordering::Acquire);
        if state == OFFLINE || state >= ticket.0 {
            return Grace::Passed;
        }
        if state & INSIDE != 0 {
            return Grace::Busy;
        }
        // Acquire: pairs with the Release in `quiesce`. The load of the state that counts is the exchange's, behind it.
        if self.asked.load(Ordering::Acquire) < ticket.0 {
            return Grace::Idle;
        }
        // AcqRel: the Release half passes on, to the Acquire of a later poll, the reads that the thread's own Release unpin
        // stands for (this exchange continues its release sequence). Failure, Relaxed: the thread is back; the next poll sees
        // what it says now.
        let marked =
            record
                .state
                .compare_exchange(state, OFFLINE, Ordering::AcqRel, Ordering::Relaxed);
        match marked {
            Ok(_) => Grace::Passed,
            Err(_) => Grace::Busy,
        }
    }

    /// Makes sure that of threads which are outside but lag behind the ticket a poll can say that it need not wait for them.
    /// Without a barrier, all readers are told to issue full fences from now on, which takes a moment; until then polls find
    /// them idle.
    #[cold]
    pub(crate) fn quiesce(&self, ticket: Ticket) {
        // Relaxed: who misses the bit asks the kernel once more.
        let fenced = self.epoch.load(Ordering::Relaxed) & FENCED != 0;
        let heavy = if fenced {
            Err(Refused { for_good: true })
        } else {
            barrier::heavy()
        };
        let asked = match heavy {
            Ok(()) => ticket.0,
            Err(Refused { for_good: false }) => return,
            Err(Refused { for_good: true }) => {
                // Relaxed: that readers see it is what the time to settle is for. As an exchange it continues the release
                // sequence of the epoch's increments.
                self.epoch.fetch_or(FENCED, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if !self.settling.is_over() {
                    return;
                }
                ALWAYS
            }
        };
        // Release: pairs with the Acquire in `look`: the barrier comes before every look that relies on it.
        self.asked.fetch_max(asked, Ordering::Release);
    }

    /// How many records polls have looked at.
    #[cfg(all(test, not(nori_loom)))]
    pub(crate) fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }
}

impl Record {
    /// Begins a read: what is reachable from now on stays as it is until the pin is dropped.
    ///
    /// Only the thread that leased the record may call this. Nested pins are free and share the outer one's fate.
    #[inline(always)]
    pub(crate) fn pin<'d>(&'d self, domain: &'d Domain) -> Pin<'d> {
        self.try_pin(domain)
            .unwrap_or_else(|entered| self.pin_slow(entered))
    }

    /// The part of [`Record::pin`] that mostly suffices.
    #[inline(always)]
    pub(super) fn try_pin<'d>(&'d self, domain: &'d Domain) -> Result<Pin<'d>, Entered> {
        // Relaxed: the only other writer is a collector that marks us offline, which the epoch check below notices.
        let before = self.state.load(Ordering::Relaxed);
        // Relaxed: the barrier orders it. Inside another pin it changes nothing.
        self.state.store(before | INSIDE, Ordering::Relaxed);
        // The light half of a full fence, whose heavy half is issued by `quiesce`: a look behind that sees us inside, or we see
        // the epoch of its ticket.
        compiler_fence(Ordering::SeqCst);
        // Acquire: pairs with the Release in `seal`; what was unlinked before this epoch stays unseen.
        let epoch = domain.epoch.load(Ordering::Acquire);
        if before != epoch {
            return Err(Entered { before, epoch });
        }
        Ok(Pin::new(self, epoch))
    }

    /// The other part: a pin inside another, or one that announces its epoch.
    #[cold]
    pub(super) fn pin_slow(&self, Entered { before, epoch }: Entered) -> Pin<'_> {
        if before & INSIDE != 0 {
            return Pin::new(self, before);
        }
        // What is announced is the epoch alone.
        let epoch = epoch & !FENCED;
        // Release: pairs with the Acquire in `look`; our earlier reads are over.
        self.state.store(epoch | INSIDE, Ordering::Release);
        // SeqCst: pairs with the fence in `poll`, for a collector that took us for offline.
        fence(Ordering::SeqCst);
        Pin::new(self, epoch)
    }
}

/// A record that says 'inside', of a pin that is not whole yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entered {
    /// What it said before.
    before: u64,
    /// The domain's epoch after that.
    epoch: u64,
}
