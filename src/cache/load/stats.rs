//! Counting loads.

use crate::sync::{AtomicU64, Ordering};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::time::{Duration, Instant};

/// How many buckets the histogram of load times has.
pub(super) const BUCKETS: usize = 13;

/// What became of loads: part of [`Stats`](crate::Stats).
///
/// ```
/// let cache: nori_cache::Cache<String, u32> = nori_cache::Cache::new(10);
/// cache.get_or_insert_with("key", || 1);
/// cache.get_or_insert_with("key", || 2);
/// let loads = cache.stats().loads;
/// assert_eq!((loads.succeeded, loads.coalesced), (1, 0));
/// assert_eq!(loads.histogram().map(|(_, count)| count).sum::<u64>(), 1);
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
    /// How long the loaders took that succeeded, all together, by the system's clock.
    pub time: Duration,
    /// The same in classes, each four times as wide as the one before.
    pub(crate) buckets: [u64; BUCKETS],
}

impl LoadStats {
    /// How long a loader that succeeded took on average; zero before the first one.
    pub fn mean_time(&self) -> Duration {
        match u32::try_from(self.succeeded) {
            Ok(0) => Duration::ZERO,
            Ok(loads) => self.time / loads,
            Err(_) => self.time.div_f64(self.succeeded as f64),
        }
    }

    /// How many loaders that succeeded took less than so long, and no less than the time before it: 1 µs, 4 µs, 16 µs and so on up
    /// to 4.2 s; the last class, `Duration::MAX`, is that of all others.
    pub fn histogram(&self) -> impl Iterator<Item = (Duration, u64)> + use<> {
        let below = |class| match class {
            class if class + 1 == BUCKETS => Duration::MAX,
            class => Duration::from_micros(1_u64 << (2 * class)),
        };
        let counts = self.buckets.into_iter().enumerate();
        counts.map(move |(class, count)| (below(class), count))
    }

    pub(in super::super) fn since(&self, previous: &Self) -> Self {
        let mut buckets = self.buckets;
        for (count, before) in buckets.iter_mut().zip(previous.buckets) {
            *count = count.saturating_sub(before);
        }
        Self {
            succeeded: self.succeeded.saturating_sub(previous.succeeded),
            failed: self.failed.saturating_sub(previous.failed),
            panicked: self.panicked.saturating_sub(previous.panicked),
            abandoned: self.abandoned.saturating_sub(previous.abandoned),
            coalesced: self.coalesced.saturating_sub(previous.coalesced),
            time: self.time.saturating_sub(previous.time),
            buckets,
        }
    }
}

/// The class of a load that took so long.
fn class(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let class = micros.checked_ilog2().map_or(0, |log| log as usize / 2 + 1);
    class.min(BUCKETS - 1)
}

/// The counters of a cache. All are relaxed: they order nothing.
#[derive(Debug, Default)]
pub(in super::super) struct Counters {
    failed: AtomicU64,
    panicked: AtomicU64,
    abandoned: AtomicU64,
    coalesced: AtomicU64,
    nanos: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

impl Counters {
    /// Begins to time a load.
    pub(super) fn begin(&self) -> Timer<'_> {
        Timer {
            counters: self,
            began: Instant::now(),
            ended: false,
            running: false,
        }
    }

    pub(super) fn coalesced(&self) {
        add(&self.coalesced, 1);
    }

    pub(in super::super) fn sum(&self) -> LoadStats {
        // Relaxed: as all of them.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut stats = LoadStats {
            failed: read(&self.failed),
            panicked: read(&self.panicked),
            abandoned: read(&self.abandoned),
            coalesced: read(&self.coalesced),
            time: Duration::from_nanos(read(&self.nanos)),
            ..LoadStats::default()
        };
        for (count, counter) in stats.buckets.iter_mut().zip(&self.buckets) {
            *count = read(counter);
        }
        stats.succeeded = stats.buckets.iter().sum();
        stats
    }
}

fn add(counter: &AtomicU64, by: u64) {
    // Relaxed: as all of them.
    counter.fetch_add(by, Ordering::Relaxed);
}

/// A load that is being timed. Dropped before its end, it has panicked if its loader was running, and was abandoned if not.
pub(super) struct Timer<'c> {
    counters: &'c Counters,
    began: Instant,
    ended: bool,
    running: bool,
}

impl Timer<'_> {
    /// Runs some of the loader.
    pub(super) fn run<R>(&mut self, some: impl FnOnce() -> R) -> R {
        self.running = true;
        let result = some();
        self.running = false;
        result
    }

    /// Runs the loader, poll by poll.
    pub(super) async fn run_async<F: Future>(&mut self, loader: F) -> F::Output {
        let mut loader = pin!(loader);
        poll_fn(|context| self.run(|| loader.as_mut().poll(context))).await
    }

    pub(super) fn succeeded(mut self) {
        self.ended = true;
        let took = self.began.elapsed();
        add(&self.counters.buckets[class(took)], 1);
        add(
            &self.counters.nanos,
            u64::try_from(took.as_nanos()).unwrap_or(u64::MAX),
        );
    }

    pub(super) fn failed(mut self) {
        self.ended = true;
        add(&self.counters.failed, 1);
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
        add(counter, 1);
    }
}

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    #[test]
    fn classes_begin_where_the_histogram_says() {
        let bounds: Vec<Duration> = LoadStats::default()
            .histogram()
            .map(|(below, _)| below)
            .collect();
        let nano = Duration::from_nanos(1);
        for (number, below) in bounds.iter().enumerate() {
            assert_eq!(class(*below - nano), number, "just below {below:?}");
            if number + 1 < BUCKETS {
                assert_eq!(class(*below), number + 1, "{below:?}");
            }
        }
        assert_eq!(class(Duration::ZERO), 0);
    }
}
