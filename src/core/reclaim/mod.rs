//! Pin, retire, collect: when may memory that readers might still see be used again?
//!
//! # The protocol
//!
//! A *grace period* is what a writer waits for after it has unlinked an entry: it ends when every thread that could have
//! found the entry has finished the read it was in. One [`Domain`] serves all caches of the process; every thread that
//! reads leases one [`Record`] in it, a cache line that only this thread writes (and a collector marks once, when
//! the thread is idle).
//!
//! | who | does, in this order |
//! |---|---|
//! | reader, `Record::pin` | `state ← inside`; *light barrier*; read the domain's epoch; if it is not the one announced: announce it, full fence; now look at shared data |
//! | reader, unpin | `state ← outside`, Release |
//! | writer, [`Domain::seal`] | (has unlinked a batch) increment the epoch, which gives the batch its [`Ticket`] |
//! | writer, [`Domain::poll`] | full fence; walk over the records; the grace period has passed when every record is offline or has announced an epoch not older than the ticket |
//! | writer, [`Domain::quiesce`] | *heavy barrier*; says that one was issued since the ticket was drawn |
//! | writer, the next poll | a record that lags and is outside is marked offline |
//!
//! A thread that keeps reading announces each new epoch by itself, so a batch's grace period normally passes without a
//! word between the threads. Only a thread that fell idle in the meantime has to be asked, by the heavy barrier, whether
//! its 'outside' is the truth; then it is offline and is not asked again until it comes back.
//!
//! A poll's walk stops at the first record that is busy, and the next poll goes on there ([`Wait`]): a record that has been
//! passed stays passed. So a poll while a reader takes its time looks at one record, and a grace period at each record once or
//! twice, however many polls it takes. Records that no thread leases cost a sixty-fourth of a look ([`records`]).
//!
//! # Why it cannot go wrong
//!
//! *A record that has announced an epoch ≥ ticket.* The reader read that epoch with Acquire from the increment in `seal`
//! (Release) or a later one, so everything unlinked before the increment is invisible to its current and later reads. Its
//! earlier reads ended before the announcement, which is a Release store that the poll reads with Acquire. Or the poll reads a
//! later pin's Relaxed 'inside' with the same epoch: then it is the full fence behind the announcement that it synchronises
//! with.
//!
//! *A record that is offline.* Either the reader's announcement follows the poll's read in the record's modification order,
//! and then the two full fences (poll's before its read, the reader's after its announcement) are ordered that way round
//! and the reader sees the unlinking; or the poll would have read the announcement.
//!
//! *A record that is not leased.* The same two fences: who leases it does so before it announces anything. And who gave it back
//! did so with Release, which the poll reads with Acquire.
//!
//! *Marking a record offline.* Light and heavy barrier are two halves of one full fence: whoever looks after the heavy barrier
//! and does not see a reader's 'inside' knows that the reader's later loads see all that was stored before that barrier. The
//! light half is a compiler fence and the heavy half `membarrier(2)`, which runs a full fence on every core that runs a
//! thread of the process. So a record that still says 'outside, old epoch' after the heavy barrier belongs to a thread whose
//! next pin sees the new epoch, finds that it has announced another and takes the path with the full fence, as if it had been
//! offline. The mark itself is a compare-and-swap: it loses against a reader that has come back in between.
//!
//! *A record that was leased for one pin*, by a thread that is ending and has given its own back, says 'abandoned' when the pin
//! ends, a number above every ticket. The next thread that leases one for a pin takes such records back, one at a time.
//!
//! # Holds
//!
//! A reader that is to run a user's closure trades its pin for a hold on the one slot it needs ([`holds`]); the walk collects what
//! is held as it passes the records.
//!
//! # Without a heavy barrier
//!
//! Then every pin announces. The domain's epoch gets a bit that no announced epoch has (`FENCED`), so each pin finds that it has
//! announced another one and takes the path with the full fence; readers pay for no check of their own. A record that is
//! outside is then as good as one that is offline, by the argument of the two fences, and may be marked at any time. So it
//! is from the start where the system has no such call, and under Miri.
//!
//! *When the call is forbidden later*, by a filter that the process installs after it has registered for it, the bit is set
//! then. An idle thread says 'outside', and nothing that the language promises tells whether it is in the middle of a light
//! pin: its 'inside' may be on its way. What is true of every processor is that this way ends: a pin that does not see the bit
//! stored its 'inside' before it looked, and both the store and the bit reach the other cores in microseconds, a thread that is
//! interrupted in between not excepted, as an interrupt or a switch of contexts drains the store buffer. So nobody is
//! marked until some turns of the system's timer have gone by since the bit was set ([`barrier::Settling`]): once in a
//! process's life, for some milliseconds, what waits for an idle thread goes on waiting. This is the one place where the
//! argument is about time.
//!
//! The scheme is epoch-based reclamation (Fraser, *Practical lock-freedom*, 2004) with one ticket per batch in place of
//! three rotating epochs, asymmetric fences (Dice, Huang, Yang, *Asymmetric Dekker synchronization*, 2001) and offline
//! threads as in user-space RCU (Desnoyers et al., *IEEE TPDS* 23(2), 2012). That a store's way has an end which one may wait for
//! is from Morrison and Afek, *Temporally bounding TSO for fence-free asymmetric synchronization* (ASPLOS 2015).

mod barrier;
pub(crate) mod domain;
#[cfg(all(test, target_os = "linux", not(any(miri, nori_loom, fuzzing))))]
mod forbidden;
mod holds;
#[cfg(not(nori_loom))]
mod local;
mod record;
mod records;
#[cfg(not(nori_loom))]
mod tally;
#[cfg(all(test, not(nori_loom)))]
mod tests;

pub(crate) use barrier::{fence_everywhere, has_heavy};
pub(crate) use domain::{Domain, Grace, Ticket, Wait};
#[cfg(not(nori_loom))]
pub(crate) use local::{domain, pin, tally};
#[cfg(test)]
pub(crate) use record::Record;
pub(crate) use record::{Hold, Pin};
#[cfg(not(nori_loom))]
pub(crate) use tally::Tally;
