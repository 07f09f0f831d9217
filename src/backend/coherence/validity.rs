//! When a copy of what a store elsewhere has may be shown: the concurrent part of two tiers, without a cache, a connection or a
//! clock.
//!
//! A copy is shown only if two things hold at the moment of the look.
//!
//! **Nothing has invalidated it.** Keys share [`Generations`], by their hash. Whoever asks the store for a key takes a [`Ticket`]
//! first: the generation of the key's stripe, and that of everything. Whoever learns that a key was written moves its stripe to
//! the next generation, and whoever learns that anything may have been written moves everything's. A copy keeps the ticket that
//! it was asked for with, and is shown only while both generations are still those of its ticket. So an invalidation that comes
//! between the question and the answer counts, whether or not the copy is in the cache by then, and a copy that is put there
//! late is one that nobody is shown. There is no table of those who ask, no lock, and nothing to be removed: what is not shown
//! is written over, evicted or expires. Generations have 64 bits and do not come round.
//!
//! **Somebody would have been told.** Invalidations come by the connection that asked. Its [`Coverage`] says when that was last
//! known to be alive: the time at which a question was sent that has been answered by now. What was written before that time has
//! been announced before the answer. A copy is shown only for so long after that time as the coverage says, and no longer at all
//! once the connection is lost. A connection is never found again: the next one has a coverage of its own.
//!
//! **In which order.** An invalidation is in effect before the proof that came after it is (Release, in
//! [`prove`](Coverage::prove)), and a look reads the proof first (Acquire, in [`holds`](Coverage::holds)) and the generations
//! behind it. So whoever relies on a proof sees each invalidation that came before it.
//!
//! | field | written by | read by |
//! |---|---|---|
//! | a stripe, `all` | those who learn of writes: the task that reads a connection, this process's own writers | everybody |
//! | `proven` | those who ask whether the connection is alive; whoever sees it end | those who look |

use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// `proven`, of a connection that is lost. Later than every time, so that a proof that comes late does not replace it.
const LOST: u64 = u64::MAX;

/// What moves on when keys are written.
pub(crate) struct Generations {
    /// Of everything.
    all: AtomicU64,
    /// Of the keys whose hash leads here. Their number is a power of two.
    stripes: Box<[AtomicU64]>,
}

/// The generations at the time of a question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    stripe: usize,
    generation: u64,
    all: u64,
}

impl Generations {
    /// With at least so many stripes. The more there are, the fewer other keys does a write invalidate.
    pub(crate) fn new(stripes: usize) -> Self {
        let zeros = (0..stripes.next_power_of_two()).map(|_| AtomicU64::new(0));
        Self {
            all: AtomicU64::new(0),
            stripes: zeros.collect(),
        }
    }

    /// To be taken before the store is asked for the key of this hash.
    pub(crate) fn ticket(&self, hash: u64) -> Ticket {
        let stripe = self.stripe_of(hash);
        Ticket {
            stripe,
            // Acquire, both: pair with the Releases below; what is asked next is asked after the write that we see announced.
            generation: self.stripes[stripe].load(Ordering::Acquire),
            all: self.all.load(Ordering::Acquire),
        }
    }

    /// The key of this hash was written.
    pub(crate) fn invalidate(&self, hash: u64) {
        // Release: pairs with the Acquires in `ticket` and `is_current`.
        self.stripes[self.stripe_of(hash)].fetch_add(1, Ordering::Release);
    }

    /// Any key may have been written.
    pub(crate) fn invalidate_all(&self) {
        // Release: pairs with the Acquires in `ticket` and `is_current`.
        self.all.fetch_add(1, Ordering::Release);
    }

    /// Whether nothing has come in between.
    #[inline]
    pub(crate) fn is_current(&self, ticket: &Ticket) -> bool {
        // Acquire, both: pair with the Releases in `invalidate` and `invalidate_all`; who finds a copy out of date asks the store
        // after the write.
        self.stripes[ticket.stripe].load(Ordering::Acquire) == ticket.generation
            && self.all.load(Ordering::Acquire) == ticket.all
    }

    fn stripe_of(&self, hash: u64) -> usize {
        // Cut off: a mask is what is wanted.
        hash as usize & (self.stripes.len() - 1)
    }
}

/// For how long what came by a connection may be shown. Times are milliseconds of one clock.
pub(crate) struct Coverage {
    /// The last time before which everything that was written is known. [`LOST`] once the connection is.
    proven: AtomicU64,
    /// How much later than that copies are shown.
    bound: u64,
}

impl Coverage {
    /// Of a connection by which everything is known that was written before the time `asked`.
    pub(crate) fn new(asked: u64, bound: u64) -> Self {
        Self {
            proven: AtomicU64::new(asked),
            bound,
        }
    }

    /// Of what nothing is announced about: copies are shown until they expire.
    pub(crate) fn endless() -> Self {
        Self::new(0, u64::MAX)
    }

    /// What was asked at that time has been answered, and all that came before the answer has been dealt with.
    pub(crate) fn prove(&self, asked: u64) {
        // Release: pairs with the Acquire in `holds`; the invalidations that came before this answer are in effect.
        self.proven.fetch_max(asked, Ordering::Release);
    }

    /// The connection is gone, for good.
    pub(crate) fn lose(&self) {
        // Release: pairs with the Acquires in `holds` and `is_lost`.
        self.proven.fetch_max(LOST, Ordering::Release);
    }

    /// Whether the connection is known to be gone.
    pub(crate) fn is_lost(&self) -> bool {
        // Acquire: pairs with the Release in `lose`.
        self.proven.load(Ordering::Acquire) == LOST
    }

    #[inline]
    fn holds(&self, now: u64) -> bool {
        // Acquire: pairs with the Release in `prove`; what the proof came after is seen by what is read behind it.
        let proven = self.proven.load(Ordering::Acquire);
        proven != LOST && now.saturating_sub(proven) <= self.bound
    }
}

/// What a copy needs to be shown.
#[derive(Clone)]
pub(crate) struct Pass {
    pub(crate) ticket: Ticket,
    pub(crate) coverage: Arc<Coverage>,
}

impl Pass {
    /// Whether the copy may be shown to somebody who came at the time `now` or later.
    #[inline]
    pub(crate) fn is_valid(&self, generations: &Generations, now: u64) -> bool {
        // The proof first: see the essay.
        self.coverage.holds(now) && generations.is_current(&self.ticket)
    }
}
