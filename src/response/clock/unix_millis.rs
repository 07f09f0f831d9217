//! [`UnixMillis`]: a time of day.

use std::time::Duration;

/// How far the clocks may differ of those who share a store: a day, which is what a clock set to another time zone is off.
const MAX_SKEW: Duration = Duration::from_secs(24 * 60 * 60);

/// Milliseconds since 1970. Arithmetic saturates: numbers may come from a store that others write to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnixMillis(u64);

impl UnixMillis {
    pub(crate) const EPOCH: Self = Self(0);
    /// The end of the year 9999. Later times cannot be written as a date, so numbers beyond this are not taken for times.
    pub(crate) const END: Self = Self(253_402_300_800_000);
    pub(crate) const MAX: Self = Self(u64::MAX);

    #[inline]
    pub(crate) const fn new(millis: u64) -> Self {
        Self(millis)
    }

    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The time between two; zero if the other one is later.
    #[inline]
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    #[inline]
    pub(crate) fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// Whether a time that is read from a store may have been written there by now. What lies further ahead than clocks differ was
    /// written by nobody.
    pub(crate) fn is_possible(self, now: Self) -> bool {
        self <= now.plus(MAX_SKEW)
    }

    #[inline]
    pub(crate) fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_ends_where_numbers_do() {
        let second = Duration::from_secs(1);
        let time = UnixMillis::new(5_000);
        assert_eq!(time.plus(second), UnixMillis::new(6_000));
        assert_eq!(time.minus(second), UnixMillis::new(4_000));
        assert_eq!(time.since(UnixMillis::new(4_000)), second);
        assert_eq!(time.since(UnixMillis::MAX), Duration::ZERO);
        assert_eq!(time.minus(Duration::MAX), UnixMillis::EPOCH);
        assert_eq!(time.plus(Duration::MAX), UnixMillis::MAX);
    }

    #[test]
    fn times_from_more_than_a_day_ahead_are_not_possible() {
        let now = UnixMillis::new(5_000);
        assert!(now.plus(MAX_SKEW).is_possible(now));
        assert!(!UnixMillis::new(now.plus(MAX_SKEW).get() + 1).is_possible(now));
        assert!(UnixMillis::MAX.is_possible(UnixMillis::MAX));
    }
}
