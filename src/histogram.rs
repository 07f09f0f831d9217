//! [`Histogram`]: how long things took.

use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// How many classes there are.
pub(crate) const CLASSES: usize = 13;

/// How long some things took, by the system's clock: their number and total time exactly, and each in one of 13 classes, every one
/// four times as wide as the one before. A snapshot.
///
/// ```
/// use nori_cache::Histogram;
/// use std::time::Duration;
///
/// let mut took = Histogram::default();
/// for micros in [3, 5, 100] {
///     took.record(Duration::from_micros(micros));
/// }
/// assert_eq!((took.count(), took.total()), (3, Duration::from_micros(108)));
/// assert_eq!(took.quantile(0.5), Duration::from_micros(16)); // less than this
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Histogram {
    total: Duration,
    counts: [u64; CLASSES],
}

impl Histogram {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How long they took, all together.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// How long they took on average; zero before the first one.
    pub fn mean(&self) -> Duration {
        match u32::try_from(self.count()) {
            Ok(0) => Duration::ZERO,
            Ok(count) => self.total / count,
            Err(_) => self.total.div_f64(self.count() as f64),
        }
    }

    /// How many took less than so long, and no less than the time before it: 1 µs, 4 µs, 16 µs and so on up to 4.2 s; the last
    /// class, `Duration::MAX`, is that of all others.
    pub fn classes(&self) -> impl Iterator<Item = (Duration, u64)> + use<> {
        let counts = self.counts.into_iter().enumerate();
        counts.map(|(class, count)| (end(class), count))
    }

    /// The end of the class in which this part of them was done, from 0 to 1: with 0.99, 99 of 100 took less. Zero before the
    /// first one.
    pub fn quantile(&self, part: f64) -> Duration {
        let all = self.count();
        if all == 0 {
            return Duration::ZERO;
        }
        let wanted = ((all as f64 * part.clamp(0.0, 1.0)).ceil() as u64).clamp(1, all);
        let mut below = 0_u64;
        for (end, count) in self.classes() {
            below = below.saturating_add(count);
            if below >= wanted {
                return end;
            }
        }
        Duration::MAX
    }

    /// Adds one: for those who count calls of a backend of their own.
    pub fn record(&mut self, took: Duration) {
        let count = &mut self.counts[class(took)];
        *count = count.saturating_add(1);
        self.total = self.total.saturating_add(took);
    }

    /// What was recorded since `previous` was taken.
    #[must_use]
    pub fn since(&self, previous: &Self) -> Self {
        let mut since = *self;
        since.total = self.total.saturating_sub(previous.total);
        for (count, before) in since.counts.iter_mut().zip(previous.counts) {
            *count = count.saturating_sub(before);
        }
        since
    }
}

/// Where a class ends.
fn end(class: usize) -> Duration {
    if class + 1 == CLASSES {
        Duration::MAX
    } else {
        Duration::from_micros(1_u64 << (2 * class))
    }
}

/// The class of what took so long.
fn class(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let class = micros.checked_ilog2().map_or(0, |log| log as usize / 2 + 1);
    class.min(CLASSES - 1)
}

/// The counters of one.
#[derive(Debug, Default)]
pub(crate) struct HistogramCounters {
    nanos: AtomicU64,
    counts: [AtomicU64; CLASSES],
}

impl HistogramCounters {
    pub(crate) fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed, both: numbers to look at; nothing is ordered by them.
        self.counts[class(took)].fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Histogram {
        // Relaxed: as in `record`.
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Histogram {
            total: Duration::from_nanos(read(&self.nanos)),
            counts: std::array::from_fn(|class| read(&self.counts[class])),
        }
    }
}

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    #[test]
    fn classes_begin_where_the_histogram_says() {
        let ends: Vec<Duration> = Histogram::default().classes().map(|(end, _)| end).collect();
        let nano = Duration::from_nanos(1);
        for (number, end) in ends.iter().enumerate() {
            assert_eq!(class(*end - nano), number, "just below {end:?}");
            if number + 1 < CLASSES {
                assert_eq!(class(*end), number + 1, "{end:?}");
            }
        }
        assert_eq!(class(Duration::ZERO), 0);
    }

    #[test]
    fn quantiles_are_ends_of_classes() {
        let mut took = Histogram::default();
        assert_eq!(took.quantile(0.5), Duration::ZERO);
        assert_eq!(took.mean(), Duration::ZERO);
        for micros in 0..100 {
            took.record(Duration::from_micros(micros));
        }
        for (part, micros) in [
            (0.0, 1),
            (0.01, 1),
            (0.04, 4),
            (0.05, 16),
            (0.65, 256),
            (1.0, 256),
        ] {
            assert_eq!(took.quantile(part), Duration::from_micros(micros), "{part}");
        }
        took.record(Duration::from_secs(5));
        assert_eq!(took.quantile(1.0), Duration::MAX);
    }

    #[test]
    fn what_is_counted_at_once_is_what_is_recorded_one_by_one() {
        let (counters, mut one_by_one) = (HistogramCounters::default(), Histogram::default());
        for shift in 0..40 {
            let took = Duration::from_nanos(1 << shift);
            counters.record(took);
            one_by_one.record(took);
        }
        assert_eq!(counters.snapshot(), one_by_one);
        let since = counters.snapshot().since(&one_by_one);
        assert_eq!(since, Histogram::default());
    }
}
