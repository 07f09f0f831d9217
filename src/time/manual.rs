use super::packed::Passed;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// A clock that stands still until it is told to advance: for tests, and for programs that know the time anyhow.
///
/// Clones are the same clock. A program with a loop of its own (of events, of frames) may advance it there by what has passed
/// since the last time: reads of a cache then look at one word, and entries live by the loop's time.
///
/// ```
/// use nori_cache::{Cache, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let cache = Cache::<u64, u64>::builder()
///     .max_keys(10)
///     .ttl(Duration::from_millis(5))
///     .clock(clock.clone())
///     .build()?;
/// cache.insert(1, 1);
/// clock.advance(Duration::from_millis(4));
/// assert_eq!(cache.get(&1), Some(1));
/// clock.advance(Duration::from_millis(1));
/// assert_eq!(cache.get(&1), None);
/// # Ok::<(), nori_cache::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    /// Nanoseconds since it was made.
    nanos: Arc<AtomicU64>,
    /// The same as reads see it, in milliseconds and one more.
    passed: Arc<Passed>,
}

impl ManualClock {
    /// A clock that stands at zero.
    pub fn new() -> Self {
        let passed = Passed::strict();
        passed.start_at(1);
        Self {
            nanos: Arc::default(),
            passed: Arc::new(passed),
        }
    }

    /// Moves the clock forward; by more than the 584 years it can count, to its end.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // Relaxed, both: what those who see the new time have to see is passed on with `passed`.
        let before = self
            .nanos
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                Some(now.saturating_add(by))
            });
        let now = before.map_or(u64::MAX, |before| before.saturating_add(by));
        self.passed.move_to(now / 1_000_000 + 1);
    }

    pub(super) fn passed(&self) -> Arc<Passed> {
        Arc::clone(&self.passed)
    }

    /// The time that everybody sees.
    pub(crate) fn millis(&self) -> u64 {
        self.passed.millis()
    }

    pub(super) fn millis_rounded_up(&self) -> u64 {
        // Relaxed: at least what this thread has advanced, and what was passed on to it with `passed`.
        self.nanos.load(Ordering::Relaxed).div_ceil(1_000_000) + 1
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}
