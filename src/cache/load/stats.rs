//! Counting loads.

use crate::histogram::{Histogram, HistogramCounters};
use crate::sync::{AtomicU64, Ordering};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

/// What became of loads: part of [`Stats`](crate::Stats), and of what backends count.
///
/// ```
/// let cache: nori_cache::Cache<String, u32> = nori_cache::Cache::new(10);
/// cache.get_or_insert_with("key", || 1);
/// cache.get_or_insert_with("key", || 2);
/// let loads = cache.stats().loads;
/// assert_eq!((loads.succeeded, loads.coalesced), (1, 0));
/// assert_eq!(loads.took.count(), 1);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadStats {
    /// Loaders that returned a value, whether or not it was stored. A call for many keys is one.
    pub succeeded: u64,
    /// Loaders that returned an error.
    pub failed: u64,
    /// Loaders that panicked.
    pub panicked: u64,
    /// Loads whose future was dropped before it was ready.
    pub abandoned: u64,
    /// Keys whose value came from another caller's load, which was waited for.
    pub coalesced: u64,
    /// How long the loaders took that succeeded.
    pub took: Histogram,
}

impl LoadStats {
    /// How long a loader that succeeded took on average; zero before the first one.
    pub fn mean_time(&self) -> Duration {
        self.took.mean()
    }

    /// The classes of [`took`](Self::took).
    pub fn histogram(&self) -> impl Iterator<Item = (Duration, u64)> + use<> {
        self.took.classes()
    }

    pub(crate) fn since(&self, previous: &Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_sub(previous.succeeded),
            failed: self.failed.saturating_sub(previous.failed),
            panicked: self.panicked.saturating_sub(previous.panicked),
            abandoned: self.abandoned.saturating_sub(previous.abandoned),
            coalesced: self.coalesced.saturating_sub(previous.coalesced),
            took: self.took.since(&previous.took),
        }
    }
}

/// The counters of a cache. All are relaxed: they order nothing.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    failed: AtomicU64,
    panicked: AtomicU64,
    abandoned: AtomicU64,
    coalesced: AtomicU64,
    took: HistogramCounters,
}

impl Counters {
    /// Begins to time a load.
    pub(crate) fn begin(&self) -> Timer<'_> {
        Timer {
            counters: self,
            began: Instant::now(),
            ended: false,
            running: false,
        }
    }

    pub(crate) fn coalesced(&self) {
        add_one(&self.coalesced);
    }

    pub(crate) fn sum(&self) -> LoadStats {
        // Relaxed: as all of them.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let took = self.took.snapshot();
        LoadStats {
            succeeded: took.count(),
            failed: read(&self.failed),
            panicked: read(&self.panicked),
            abandoned: read(&self.abandoned),
            coalesced: read(&self.coalesced),
            took,
        }
    }
}

fn add_one(counter: &AtomicU64) {
    // Relaxed: as all of them.
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A load that is being timed. Dropped before its end, it has panicked if its loader was running, and was abandoned if not.
pub(crate) struct Timer<'c> {
    counters: &'c Counters,
    began: Instant,
    ended: bool,
    running: bool,
}

impl Timer<'_> {
    /// Runs some of the loader.
    pub(crate) fn run<R>(&mut self, some: impl FnOnce() -> R) -> R {
        self.running = true;
        let result = some();
        self.running = false;
        result
    }

    /// Runs the loader, poll by poll.
    pub(crate) async fn run_async<F: Future>(&mut self, loader: F) -> F::Output {
        let mut loader = pin!(loader);
        poll_fn(|context| self.run(|| loader.as_mut().poll(context))).await
    }

    pub(crate) fn succeeded(mut self) {
        self.ended = true;
        self.counters.took.record(self.began.elapsed());
    }

    pub(crate) fn failed(mut self) {
        self.ended = true;
        add_one(&self.counters.failed);
    }
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let counter = if self.running {
            &self.counters.panicked
        } else {
            &self.counters.abandoned
        };
        add_one(counter);
    }
}
