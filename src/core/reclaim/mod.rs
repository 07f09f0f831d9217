//! Pin, retire, collect: when may memory that readers might still see be used again?
//!
//! # The protocol
//!
//! A *grace period* is what a writer waits for after it has unlinked an entry: it ends when every thread that could have
//! found the entry has finished the read it was in. One [`Domain`] serves all caches of the process; every thread that
//! reads leases one [`Record`] in it, a cache line that only this thread writes (and a collector marks once, when the
//! thread is idle).
//!
//! | who | does, in this order |
//! |---|---|
//! | reader, [`Record::pin`] | `state ← inside`; *light barrier*; read the domain's epoch; if it is not the one announced: announce it, full fence; now look at shared data |
//! | reader, unpin | `state ← outside`, Release |
//! | writer, [`Domain::seal`] | (has unlinked a batch) increment the epoch, which gives the batch its [`Ticket`] |
//! | writer, [`Domain::poll`] | full fence; the grace period has passed when every record is offline or has announced an epoch not older than the ticket |
//! | writer, [`Domain::quiesce`] | *heavy barrier*; a record that lags and is outside is marked offline |
//!
//! A thread that keeps reading announces each new epoch by itself, so a batch's grace period normally passes without a
//! word between the threads. Only a thread that fell idle in the meantime has to be asked, by the heavy barrier, whether
//! its 'outside' is the truth; then it is offline and is not asked again until it comes back.
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
//! *Marking a record offline.* Light and heavy barrier are two halves of one full fence: if the heavy barrier's caller does
//! not see a reader's 'inside', the reader's later loads see all that was stored before the heavy barrier. On Linux the
//! light half is a compiler fence and the heavy half `membarrier(2)`, which runs a full fence on every core that runs a
//! thread of the process; elsewhere both are full fences. So a record that still says 'outside, old epoch' after the heavy
//! barrier belongs to a thread whose next pin sees the new epoch, finds that it has announced another and takes the path
//! with the full fence, as if it had been offline. The mark itself is a compare-and-swap: it loses against a reader that
//! has come back in between.
//!
//! The scheme is epoch-based reclamation (Fraser, *Practical lock-freedom*, 2004) with one ticket per batch in place of
//! three rotating epochs, asymmetric fences (Dice, Huang, Yang, *Asymmetric Dekker synchronization*, 2001) and offline
//! threads as in user-space RCU (Desnoyers et al., *IEEE TPDS* 23(2), 2012).

mod barrier;
mod domain;
#[cfg(not(nori_loom))]
mod local;

pub(crate) use domain::{Domain, Grace, Pin, Ticket};
#[cfg(not(nori_loom))]
pub(crate) use local::{domain, pin};
