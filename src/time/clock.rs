use super::coarse;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The clock a cache measures time to live with: the system's monotonic one, or a [`ManualClock`].
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// Milliseconds of the monotonic clock at which this clock reads 1.
    System {
        origin: u64,
    },
    Manual(ManualClock),
}

impl Clock {
    /// The system's monotonic clock. Unlike the time of day it is never set back.
    pub fn system() -> Self {
        Self(Source::System {
            origin: coarse::precise_millis() - 1,
        })
    }

    /// Milliseconds since the clock was made. Never 0.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Source::System { origin } => coarse::precise_millis() - origin,
            Source::Manual(clock) => clock.millis(),
        }
    }

    /// As [`Clock::now`], with the milliseconds that `recent` makes of the system's nanoseconds.
    #[inline(always)]
    pub(crate) fn recently(&self, recent: impl FnOnce(fn() -> u64) -> u64) -> u64 {
        match &self.0 {
            Source::System { origin } => recent(coarse::precise_nanos).max(*origin + 1) - origin,
            Source::Manual(clock) => clock.millis(),
        }
    }

    /// A time read from this clock rounded up: the time itself is cut off to whole milliseconds, and what counts from there
    /// would end too early.
    #[inline(always)]
    pub(crate) fn round_up(&self, now: u64) -> u64 {
        match &self.0 {
            Source::System { .. } => now + 1,
            Source::Manual(clock) => clock.millis_rounded_up(),
        }
    }

    /// A time that [`Clock::now`] has not passed yet: a little later than now, and cheaper to know.
    #[inline(always)]
    pub(crate) fn soon(&self) -> u64 {
        match &self.0 {
            Source::System { origin } => match coarse::millis() {
                Some(coarse) => coarse + coarse::LAG_MILLIS - origin,
                None => coarse::precise_millis() - origin,
            },
            Source::Manual(clock) => clock.millis(),
        }
    }
}

/// A time of day, in milliseconds since 1970, that is not past yet: a little later than now, and cheaper to know. `None` where
/// the platform has no such clock.
#[cfg(feature = "tower")]
#[inline]
pub(crate) fn wall_millis_soon() -> Option<u64> {
    coarse::wall_millis().map(|coarse| coarse + coarse::LAG_MILLIS)
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

/// A clock that stands still until it is told to advance: for tests.
///
/// Clones are the same clock.
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
#[derive(Debug, Clone, Default)]
pub struct ManualClock {
    /// Nanoseconds since it was made.
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves the clock forward; by more than the 584 years it can count, to its end.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        // AcqRel: a thread that sees the new time sees what its setter did before, as with a real clock in a test.
        let _ = self
            .nanos
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |now| {
                Some(now.saturating_add(by))
            });
    }

    fn millis(&self) -> u64 {
        // Acquire: pairs with the Release in `advance`.
        self.nanos.load(Ordering::Acquire) / 1_000_000 + 1
    }

    fn millis_rounded_up(&self) -> u64 {
        // Acquire: as in `millis`.
        self.nanos.load(Ordering::Acquire).div_ceil(1_000_000) + 1
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self(Source::Manual(clock))
    }
}
