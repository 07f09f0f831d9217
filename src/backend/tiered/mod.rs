//! [`TieredCacheBackend`]: a tier in this process's memory, *near*, before one on Redis, *far*, which all processes share.
//!
//! # The life of a copy
//! 1. A caller misses the near tier. It takes a [ticket](crate::backend::coherence::validity) for the key, and then asks the far tier for the
//!    value and what that has left to live, in one trip.
//! 2. The server answers, and from then on owes the connection a message when the key is written, expires or is evicted.
//! 3. The caller puts a copy into the near tier, with the ticket and the coverage of the connection by which the answer came.
//! 4. Callers that find the copy are shown it while its ticket is current, its coverage holds and its time is not over. A copy that
//!    is not shown counts as a miss, and the next answer takes its place.
//!
//! # Why nobody is shown an old copy
//! What the server sends by one connection comes in one order, and the task that reads the connection deals with each message
//! before it hands the next answer to whoever asked. The ticket is older than the question.
//!
//! - *A write before the server answers the question* is in the answer. If it is announced, the ticket is not current any more,
//!   and the copy is lost labour, but not wrong.
//! - *A write after the answer* is announced behind the answer. If the message is dealt with before the copy is in the near tier, the
//!   ticket is out of date when it is put there; if after, from then on. It makes no difference which, because it is the look that
//!   decides and not the placing.
//! - *Two questions for one key* have a message between their answers if there was a write. It ends the tickets of both, if both
//!   were taken by then; the value that came first is never shown in place of the second.
//! - *A lost connection* owes messages that will not come. Its coverage is lost before a caller can have another connection, so
//!   that whoever has spoken to the server by the next one is shown nothing that came by the last. A connection that is dead
//!   without anybody noticing answers no questions either, and its coverage ends by itself, one `max_staleness` after the last
//!   question that was answered. The same holds for a primary that was demoted, or that the cluster has left behind.
//! - *A flush of the server* and *hash slots that moved* move the generation of everything.
//! - *The server forgets what it tracks*: when its table is full it announces the keys that it drops, as if they had been written.
//! - *A far entry that expires* may be announced late. So a copy has its own time to live: what the far entry had left, counted
//!   from before the question.
//!
//! # Where writers tell each other
//! With [`Coherence::Backplane`] step 2 is not the server's: who writes publishes, and messages come by a connection that has
//! subscribed (`redis::servers::watch`). Nothing else is different, because nothing above needs both connections to be one. *A write
//! before the server answers the question* is in the answer. *A write after the answer* is followed by its message, and that is dealt with after the ticket
//! was taken, whenever it comes. Coverage is the subscription's, and there is one before the question is asked. What is lost is the order between the two:
//! that somebody has spoken to the server does not say that the message has been dealt with, only that it is on its way.
//!
//! # Own writes
//! A write goes to the far tier alone. When it ends, whatever it comes to (done, failed, not known, dropped by its caller), the key's
//! generation moves on before the caller knows. So the next read asks the server, by the connection that the write went by. A
//! write that takes place later, after its caller has given up, is announced like anybody's.
//!
//! Counters and updates work on the far tier. An update may begin with a copy, since it is compared with the far value before
//! anything is written, and when that fails the copy is not used a second time.
//!
//! # When the far tier is down
//! A copy without coverage, or over its time, is shown to nobody who asks what there is. But it is what was *last known*, as long as its ticket
//! is current and its original would live: a load with fail-safe may go away with that when all else has failed. It is known to
//! be out of date by the same words as ever, an announcement or an own write; who looks at it takes the ticket's word alone, and leaves the
//! coverage's. Where the far tier has been asked and there is no copy of its answer, the earlier copy is given up: it is not the last any more.
//! Two answers that are under way at once, by two connections, may be kept in either order, so that the last known one is the one that
//! was kept last.
//!
//! Writes that fail leave behind what they were to replace: see `repair`.
//!
//! # What a copy is
//! The bytes as they came, and what they were first decoded as by a caller who can share that. It may also say that there is
//! nothing under a key: servers announce when there is.
//!
//! # No lock
//! There is none around any of this: see [`validity`](crate::backend::coherence::validity), which has the concurrent part by itself, and which
//! the model checker looks at. Who reads a connection only moves generations on, and drops nothing of a caller's.
//!
//! | file | what is in it |
//! |---|---|
//! | `builder` | settings |
//! | `near` | the copies |
//! | `doorkeeper` | which keys get one when there is no room |
//! | `contract` | the calls |
//! | `repair` | what is left to be done when the far tier was down |

mod builder;
mod contract;
mod doorkeeper;
mod near;
mod repair;

pub use builder::TieredCacheBackendBuilder;

use super::coherence::Coherence;
use super::redis::{RedisCacheBackend, Tracking};
use crate::sync::{AtomicU64, Ordering};
use near::Near;
use repair::Repairs;
use std::fmt;
use std::sync::Arc;

/// A backend of two tiers: copies in this process's memory before what a [`RedisCacheBackend`] has. For services of many processes
/// that read more than they write.
///
/// A hit in memory asks nobody. The servers tell this process which keys were written, by whomever (client tracking, a part of
/// Redis since version 6), and their copies are not used any more:
///
/// - This process reads its own writes at once.
/// - Another's write is seen as soon as the server's message about it is here, which takes half a round trip, and no later than
///   [`max_staleness`](TieredCacheBackendBuilder::max_staleness) after it, to a millisecond, whatever happens to connections, to
///   servers, or to this process: if it cannot be known that there was no message, the far tier is asked.
/// - Nothing outlives its time to live by being copied.
/// - Increments, updates and everything that writes work on the far tier, as with [`RedisCacheBackend`] alone.
///
/// A far tier that is down is an error for whoever misses the near one, never a miss; a load with [fail-safe](crate::LoadOptions::fail_safe)
/// may go away with what was last known. What could not be set or deleted meanwhile is
/// [removed](TieredCacheBackendBuilder::max_repairs) when it is back. [`docs::tiers`](crate::docs::tiers) says more,
/// also of stores and users that may not track.
///
/// ```no_run
/// use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend, TieredCacheBackend};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = TieredCacheBackend::builder()
///     .redis(RedisCacheBackend::builder().url("redis://localhost:6379"))
///     .near_max_keys(50_000)
///     .build()?;
/// backend.verify().await?; // fails where the server does not let this user track
/// backend.set("user:42", "ana", Duration::from_secs(60)).await?;
/// for _ in 0..1_000 {
///     let name: Option<String> = backend.get("user:42").await?; // Redis is asked once
///     assert_eq!(name.unwrap(), "ana");
/// }
/// # Ok(())
/// # }
/// ```
pub struct TieredCacheBackend {
    near: Near,
    far: RedisCacheBackend,
    tracking: Arc<Tracking>,
    coherence: Coherence,
    far_reads: AtomicU64,
    repairs: Arc<Repairs>,
}

/// What a [`TieredCacheBackend`] has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TierStats {
    /// Reads that were answered from memory.
    pub near_hits: u64,
    /// Keys that Redis was asked for.
    pub far_reads: u64,
    /// Looks at a copy that was out of date, or of which that could not be excluded.
    pub refused: u64,
    /// Copies in memory now, with those that are out of date.
    pub near_keys: usize,
    /// About how many bytes they take, counted as for [`near_max_bytes`](TieredCacheBackendBuilder::near_max_bytes), which they never
    /// exceed.
    pub near_bytes: u64,
    /// Keys that could not be written, and are to be removed from Redis when it is back; a flush that could not be done is one more.
    pub repairs_pending: usize,
    /// Those of them that have been.
    pub repairs_done: u64,
    /// Those that have not and will not be: there were [too many](TieredCacheBackendBuilder::max_repairs), or the key may be a counter,
    /// or is another program's, or Redis refuses.
    pub repairs_dropped: u64,
}

impl TieredCacheBackend {
    /// Settings for a new backend: Redis at `redis://localhost:6379`, 10,000 copies and 256 MiB, no copy older than a minute, and
    /// two seconds for what a server says nothing about.
    pub fn builder() -> TieredCacheBackendBuilder {
        TieredCacheBackendBuilder::default()
    }

    /// What the backend has done so far.
    pub fn tier_stats(&self) -> TierStats {
        let (looks, refused) = self.near.looks();
        let (near_keys, near_bytes) = self.near.size();
        let (repairs_pending, repairs_done, repairs_dropped) = self.repairs.counts();
        TierStats {
            near_hits: looks.saturating_sub(refused),
            // Relaxed: a counter.
            far_reads: self.far_reads.load(Ordering::Relaxed),
            refused,
            near_keys,
            near_bytes,
            repairs_pending,
            repairs_done,
            repairs_dropped,
        }
    }

    fn count_far_reads(&self, keys: usize) {
        // Relaxed: a counter.
        self.far_reads.fetch_add(keys as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for TieredCacheBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredCacheBackend")
            .field("near", &self.near)
            .field("far", &self.far)
            .field("coherence", &self.coherence)
            .finish_non_exhaustive()
    }
}
