use super::coarse;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The clock a cache measures time to live with: the system's monotonic one, or a [`ManualClock`].
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    /// The system's monotonic clock.
    System(Epoch),
    Manual(ManualClock),
}

/// The moment at which a clock reads 1, as the number that is added to the milliseconds of the system's clock, modulo 2^64.
/// So no reading of that clock, be it 0 or one from before that moment, is a number that cannot be dealt with.
#[derive(Debug, Clone, Copy)]
struct Epoch(u64);

impl Epoch {
    /// Now, as the system's clock has it.
    fn at(millis: u64) -> Self {
        Self(1_u64.wrapping_sub(millis))
    }

    /// What the clock reads when the system's reads `millis`. Far ahead of everything for a time before the epoch.
    #[inline(always)]
    fn reading(self, millis: u64) -> u64 {
        millis.wrapping_add(self.0)
    }

    /// The same; for a time before the epoch, 1.
    #[inline(always)]
    fn reading_since(self, millis: u64) -> u64 {
        self.reading(millis).cast_signed().max(1).cast_unsigned()
    }
}

impl Clock {
    /// The system's monotonic clock. Unlike the time of day it is never set back.
    pub fn system() -> Self {
        Self(Source::System(Epoch::at(coarse::precise_millis())))
    }

    /// Milliseconds since the clock was made. Never 0.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        match &self.0 {
            Source::System(epoch) => epoch.reading(coarse::precise_millis()),
            Source::Manual(clock) => clock.millis(),
        }
    }

    /// As [`Clock::now`], with the milliseconds that `recent` makes of the system's nanoseconds: maybe those of a time before this
    /// clock was made.
    #[inline(always)]
    pub(crate) fn recently(&self, recent: impl FnOnce(fn() -> u64) -> u64) -> u64 {
        match &self.0 {
            Source::System(epoch) => epoch.reading_since(recent(coarse::precise_nanos)),
            Source::Manual(clock) => clock.millis(),
        }
    }

    /// A time read from this clock rounded up: the time itself is cut off to whole milliseconds, and what counts from there
    /// would end too early.
    #[inline(always)]
    pub(crate) fn round_up(&self, now: u64) -> u64 {
        match &self.0 {
            Source::System(_) => now + 1,
            Source::Manual(clock) => clock.millis_rounded_up(),
        }
    }

    /// A time that [`Clock::now`] has not passed yet: a little later than now, and cheaper to know.
    #[inline(always)]
    pub(crate) fn soon(&self) -> u64 {
        match &self.0 {
            Source::System(epoch) => match coarse::millis() {
                Some(coarse) => epoch.reading(coarse.wrapping_add(coarse::LAG_MILLIS)),
                None => epoch.reading(coarse::precise_millis()),
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
    coarse::wall_millis().map(|coarse| coarse.saturating_add(coarse::LAG_MILLIS))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The monotonic clock of a process, a container or a machine that has just started reads 0.
    #[test]
    fn a_clock_may_be_made_when_the_system_s_has_just_started() {
        for start in [0, 1, 5, 1 << 40, u64::MAX - 1, u64::MAX] {
            let epoch = Epoch::at(start);
            assert_eq!(epoch.reading(start), 1);
            assert_eq!(epoch.reading(start.wrapping_add(7)), 8);
            assert_eq!(epoch.reading_since(start.wrapping_add(7)), 8);
        }
    }

    #[test]
    fn a_reading_from_before_the_clock_was_made_is_not_in_the_future() {
        for start in [0, 1, 1 << 40] {
            let epoch = Epoch::at(start);
            for before in [1, 2, 1_000] {
                let earlier = start.wrapping_sub(before);
                assert_eq!(epoch.reading_since(earlier), 1);
                // Whoever compares a deadline with this asks the precise clock.
                assert!(epoch.reading(earlier) == 0 || epoch.reading(earlier) > 1 << 60);
            }
        }
    }

    #[test]
    fn the_system_s_clock_starts_at_one_and_soon_is_not_before_now() {
        let clock = Clock::system();
        let before = clock.now();
        assert!((1..1 << 40).contains(&before));
        let recently = clock.recently(|read| read());
        assert!(recently >= before);
        assert!(clock.recently(|_| 0) >= 1);
        let soon = clock.soon();
        assert!(soon >= before && soon < 1 << 40);
    }
}
