//! Counters for stores whose calls take time: each call is timed.

use super::errors::ErrorCounters;
use super::{BackendStats, Operation, OperationStats};
use crate::backend::Value;
use crate::error::Error;
use crate::histogram::HistogramCounters;
use crate::sync::{AtomicU64, CachePadded, Ordering};
use crate::time::Ttl;
use std::time::Instant;

/// What an answer says of the keys that were asked for.
pub(crate) trait Found {
    /// How many of them were there, and how many were not.
    fn found(&self) -> (u64, u64) {
        (0, 0)
    }
}

impl Found for () {}
impl Found for i64 {}

impl Found for bool {
    fn found(&self) -> (u64, u64) {
        (u64::from(*self), u64::from(!self))
    }
}

impl Found for Option<Ttl> {
    fn found(&self) -> (u64, u64) {
        self.is_some().found()
    }
}

impl Found for Option<Value> {
    fn found(&self) -> (u64, u64) {
        self.is_some().found()
    }
}

impl Found for Vec<Option<Value>> {
    fn found(&self) -> (u64, u64) {
        let hits = self.iter().flatten().count();
        (hits as u64, (self.len() - hits) as u64)
    }
}

/// Whether each was stored.
impl Found for Vec<bool> {
    fn found(&self) -> (u64, u64) {
        let hits = self.iter().filter(|stored| **stored).count();
        (hits as u64, (self.len() - hits) as u64)
    }
}

/// How many keys were removed.
impl Found for u64 {
    fn found(&self) -> (u64, u64) {
        (*self, 0)
    }
}

/// The counters of all operations. All are relaxed: they order nothing.
#[derive(Debug, Default)]
pub(crate) struct CallCounters([CachePadded<Counters>; Operation::ALL.len()]);

#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    abandoned: AtomicU64,
    errors: ErrorCounters,
    /// Of all calls that were not abandoned.
    latency: HistogramCounters,
}

impl CallCounters {
    /// Begins to time a call.
    pub(crate) fn begin(&self, operation: Operation) -> Call<'_> {
        Call {
            counters: &self.0[operation as usize],
            began: Instant::now(),
            ended: false,
        }
    }

    pub(crate) fn add_to(&self, stats: &mut BackendStats) {
        for operation in Operation::ALL {
            let missed_again = stats[operation].missed_again;
            stats[operation] = OperationStats {
                missed_again,
                ..self.0[operation as usize].snapshot()
            };
        }
    }
}

impl Counters {
    fn snapshot(&self) -> OperationStats {
        // Relaxed: as all of them.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (latency, abandoned) = (self.latency.snapshot(), read(&self.abandoned));
        OperationStats {
            calls: latency.count().saturating_add(abandoned),
            hits: read(&self.hits),
            misses: read(&self.misses),
            missed_again: 0,
            errors: self.errors.snapshot(),
            abandoned,
            latency,
        }
    }
}

fn add(counter: &AtomicU64, by: u64) {
    if by > 0 {
        // Relaxed: as all of them.
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

/// A call that is being timed. Dropped before its end, it was abandoned.
pub(crate) struct Call<'c> {
    counters: &'c Counters,
    began: Instant,
    ended: bool,
}

impl Call<'_> {
    pub(crate) fn end<T: Found>(mut self, answer: &Result<T, Error>) {
        self.ended = true;
        self.counters.latency.record(self.began.elapsed());
        match answer {
            Ok(answer) => {
                let (hits, misses) = answer.found();
                add(&self.counters.hits, hits);
                add(&self.counters.misses, misses);
            }
            Err(error) => self.counters.errors.count(error),
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.ended {
            add(&self.counters.abandoned, 1);
        }
    }
}
