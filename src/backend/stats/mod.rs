//! [`BackendStats`]: what a backend has done.
//!
//! | file | what is in it |
//! |---|---|
//! | `errors` | [`ErrorCounts`]: failures, by what went wrong |
//! | `operation` | [`Operation`], and [`OperationStats`]: what calls of one kind have come to |
//! | `links` | [`LinkState`]: how the way to a server is |
//! | `calls` | counters for stores whose calls take time: each call is timed |

#[cfg(feature = "redis")]
mod calls;
mod errors;
mod links;
mod operation;

#[cfg(feature = "redis")]
pub(crate) use calls::{CallCounters, Found};
pub(crate) use errors::ErrorCounters;
pub use errors::ErrorCounts;
#[cfg(all(feature = "redis", feature = "tracing"))]
pub(crate) use errors::ErrorKind;
pub use links::{BreakerState, LinkState};
pub use operation::{Operation, OperationStats};

use super::{Flights, LoadCounts, Undecodable};
use crate::cache::{LoadStats, Stats};
use std::ops::{Index, IndexMut};

/// What a backend has done, in this process; a snapshot. From [`CacheBackend::stats`](super::CacheBackend::stats).
///
/// Counters are exact; read beside other threads they are not of one instant.
///
/// ```
/// use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, Operation, Ttl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = MemoryCacheBackend::new(100);
/// backend.set("a", 1, Ttl::Never).await?;
/// backend.get::<u8>("a").await?;
/// backend.get::<u8>("b").await?;
/// let stats = backend.stats();
/// assert_eq!(stats[Operation::Set].calls, 1);
/// assert_eq!((stats[Operation::Get].hits, stats[Operation::Get].misses), (1, 1));
///
/// backend.delete("a").await?;
/// let since = backend.stats_since(&stats);
/// assert_eq!(since[Operation::Get].calls, 0);
/// assert_eq!(since[Operation::Delete].hits, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackendStats {
    operations: [OperationStats; Operation::ALL.len()],
    /// What became of loads ([`get_or_load`](super::CacheBackendExt::get_or_load) and its siblings).
    pub loads: LoadStats,
    /// What became of those that were told what to do when something is slow, down or stale.
    pub load_counts: LoadCounts,
    /// Reads that found what they could not decode. They are hits of their operation, and misses to their callers.
    pub undecodable: Undecodable,
    /// The ways to the servers, where the store is on some: those that there are now.
    pub links: Vec<LinkState>,
    /// Of a store in memory: what its cache has done, evictions among it.
    pub memory: Option<Stats>,
    /// Of a store in memory: how many keys it has right now.
    pub entries: Option<u64>,
}

impl BackendStats {
    /// What is counted for every backend, in its [`Flights`]: loads, and what could not be decoded. To this a backend of one's own
    /// adds what it counts itself.
    ///
    /// ```
    /// use nori_cache::{BackendStats, Flights, Operation};
    ///
    /// let mut stats = BackendStats::of(&Flights::default());
    /// stats[Operation::Get].calls = 7;
    /// assert_eq!(stats.operations().map(|(_, stats)| stats.calls).sum::<u64>(), 7);
    /// ```
    pub fn of(flights: &Flights) -> Self {
        let mut stats = Self {
            loads: flights.loads().sum(),
            load_counts: flights.load_counts(),
            undecodable: flights.undecodable().snapshot(),
            ..Self::default()
        };
        for operation in [Operation::Get, Operation::GetMany] {
            stats[operation].missed_again = flights.second_misses(operation);
        }
        stats
    }

    /// Each operation, with what its calls have come to.
    pub fn operations(&self) -> impl Iterator<Item = (Operation, &OperationStats)> {
        Operation::ALL.into_iter().zip(&self.operations)
    }

    /// What was counted since `previous` was taken, of the same backend. What is no count (`entries`, how a link stands) is as it is
    /// now.
    #[must_use]
    pub fn since(&self, previous: &Self) -> Self {
        let operations = self.operations.iter().zip(&previous.operations);
        let mut since = operations.map(|(now, before)| now.since(before));
        let link = |now: &LinkState| {
            let mut links = previous.links.iter();
            now.since(links.find(|before| before.address == now.address))
        };
        Self {
            operations: std::array::from_fn(|_| since.next().unwrap_or_default()),
            loads: self.loads.since(&previous.loads),
            load_counts: self.load_counts.since(&previous.load_counts),
            undecodable: self.undecodable.since(&previous.undecodable),
            links: self.links.iter().map(link).collect(),
            memory: self
                .memory
                .map(|now| now.since(&previous.memory.unwrap_or_default())),
            entries: self.entries,
        }
    }
}

impl Index<Operation> for BackendStats {
    type Output = OperationStats;

    fn index(&self, operation: Operation) -> &OperationStats {
        &self.operations[operation as usize]
    }
}

impl IndexMut<Operation> for BackendStats {
    fn index_mut(&mut self, operation: Operation) -> &mut OperationStats {
        &mut self.operations[operation as usize]
    }
}
