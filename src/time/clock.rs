use super::epoch::Epoch;
use super::manual::ManualClock;
use super::packed::{Packed, Passed};
use super::ticker::Ticker;
use super::{coarse, recently};
use std::sync::Arc;
use std::time::Duration;

/// The clock a cache measures time to live with: the system's monotonic one, read for each entry that has a deadline
/// ([`Clock::system`], the default), or by a thread now and then ([`Clock::ticking`]); or one that the program moves
/// ([`ManualClock`]).
///
/// Clones are the same clock.
#[derive(Debug, Clone)]
#[repr(C)]
pub struct Clock {
    /// What reads look at first. It comes first, as they should find it on the cache's first line.
    passed: Arc<Passed>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// The system's monotonic clock.
    System(Epoch),
    /// The same, read by a thread.
    Ticking(Epoch, Arc<Ticker>),
    Manual(ManualClock),
}

impl Clock {
    /// The system's monotonic clock. Unlike the time of day it is never set back.
    ///
    /// No entry is read once its time to live has passed, and none is gone before.
    pub fn system() -> Self {
        Self {
            passed: Arc::new(Passed::strict()),
            source: Source::System(Epoch::at(coarse::precise_millis())),
        }
    }

    /// The system's monotonic clock as a thread reads it every `resolution` (a millisecond at least), which
    /// [`Cache::get`](crate::Cache::get) and the other reads of one key take in place of the clock. A hit takes a third less
    /// time by that.
    ///
    /// It promises less than the default: **an entry may be read after its time to live has passed**, by `resolution` and as much
    /// as the system is late to run the thread, which on a busy machine may be long. No entry goes early. Whoever writes, reads
    /// [many keys](crate::Cache::get_many) or asks for a [ttl](crate::Cache::ttl) reads the clock itself, and moves the others' time
    /// on if the thread has fallen behind.
    ///
    /// The thread starts with this call and ends with the last clone of the clock, caches that use it included. The child of a fork
    /// has no such thread: there time stands still for reads, until a write (or one of the other calls above) notices, and
    /// starts one. Where none can be started, reads ask the clock as with [`Clock::system`].
    ///
    /// ```
    /// use nori_cache::{Cache, Clock};
    /// use std::time::Duration;
    ///
    /// let cache: Cache<String, u64> = Cache::builder()
    ///     .ttl(Duration::from_secs(60))
    ///     .clock(Clock::ticking(Duration::from_millis(10)))
    ///     .build()?;
    /// cache.insert("answer".to_owned(), 42);
    /// assert_eq!(cache.get("answer"), Some(42));
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn ticking(resolution: Duration) -> Self {
        let epoch = Epoch::at(coarse::precise_millis());
        let passed = Arc::new(Passed::strict());
        let ticker = Ticker::start(Arc::clone(&passed), epoch, resolution);
        Self {
            passed,
            source: Source::Ticking(epoch, Arc::new(ticker)),
        }
    }

    /// The clock that the program moves, if this is one.
    #[cfg(feature = "backend")]
    pub(crate) fn manual(&self) -> Option<&ManualClock> {
        match &self.source {
            Source::Manual(clock) => Some(clock),
            Source::System(_) | Source::Ticking(..) => None,
        }
    }

    /// Milliseconds since the clock was made. Never 0.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        match &self.source {
            Source::System(epoch) => epoch.reading(coarse::precise_millis()),
            Source::Ticking(epoch, ticker) => ticker.check(epoch.reading(coarse::precise_millis())),
            Source::Manual(clock) => clock.millis(),
        }
    }

    /// As [`Clock::now`], cheaper where this thread has just asked; maybe a time before this clock was made, which reads 1.
    #[inline(always)]
    pub(crate) fn recently(&self) -> u64 {
        match &self.source {
            Source::System(epoch) => epoch.reading_since(recently::millis()),
            Source::Ticking(epoch, ticker) => ticker.check(epoch.reading_since(recently::millis())),
            Source::Manual(clock) => clock.millis(),
        }
    }

    /// As [`Clock::recently`], behind by as much as reads are behind, where they do not look at the clock.
    #[inline(always)]
    pub(crate) fn roughly(&self) -> u64 {
        match &self.source {
            Source::Ticking(..) if !self.passed.is_strict() => self.passed.millis(),
            Source::Ticking(epoch, _) | Source::System(epoch) => {
                epoch.reading_since(recently::millis())
            }
            Source::Manual(clock) => clock.millis(),
        }
    }

    /// A time read from this clock rounded up: the time itself is cut off to whole milliseconds, and what counts from there
    /// would end too early.
    #[inline(always)]
    pub(crate) fn round_up(&self, now: u64) -> u64 {
        match &self.source {
            Source::System(_) | Source::Ticking(..) => now + 1,
            Source::Manual(clock) => clock.millis_rounded_up(),
        }
    }

    /// Whether a deadline is past. The few that come soon are worth the precise clock.
    #[inline(always)]
    pub(crate) fn is_past(&self, deadline: Packed) -> bool {
        !self.passed.is_before(deadline) && self.is_past_slow(deadline)
    }

    /// The same, of one that is not after what has passed.
    #[inline(always)]
    fn is_past_slow(&self, deadline: Packed) -> bool {
        let Source::System(epoch) = &self.source else {
            return self.is_past_elsewhere(deadline);
        };
        let soon = coarse::soon();
        if soon.is_some_and(|soon| Packed::end_of(epoch.reading(soon)) < deadline) {
            return false;
        }
        self.is_past_precisely(deadline)
    }

    #[cold]
    fn is_past_precisely(&self, deadline: Packed) -> bool {
        deadline <= Packed::end_of(self.now())
    }

    #[inline(never)]
    fn is_past_elsewhere(&self, deadline: Packed) -> bool {
        // If the thread cannot be had, nothing has passed for sure.
        !self.passed.is_strict() || self.is_past_precisely(deadline)
    }
}

/// A time of day, in milliseconds since 1970, that is not past yet: a little later than now, and cheaper to know. `None` where
/// the platform has no such clock.
#[cfg(any(feature = "backend", feature = "tower"))]
#[inline]
pub(crate) fn wall_millis_soon() -> Option<u64> {
    coarse::wall_millis().map(|coarse| coarse.saturating_add(coarse::LAG_MILLIS))
}

/// The time of day, in milliseconds since 1970; 0 before that.
#[cfg(feature = "backend")]
pub(crate) fn wall_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl From<ManualClock> for Clock {
    fn from(clock: ManualClock) -> Self {
        Self {
            passed: clock.passed(),
            source: Source::Manual(clock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Packed {
        Packed::new(millis << Packed::SPARE)
    }

    #[test]
    fn the_system_s_clock_starts_at_one() {
        let clock = Clock::system();
        let before = clock.now();
        assert!((1..1 << 30).contains(&before));
        assert!(clock.recently() >= before);
        // What is past is past, also within what the coarse clock is late by; what is not, is not.
        assert!(clock.is_past(at(before)) && !clock.is_past(at(before + (1 << 32))));
        assert!(clock.is_past(at(0)) && !clock.is_past(Packed::new(u64::MAX)));
    }
}
