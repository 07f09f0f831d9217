//! [`PurgeCount`]: which purge by tag came after which.

use crate::response::clock::UnixMillis;

/// How many purges by tag a store has counted, in one integer. Purges at the same time may count as one.
///
/// A count that was lost begins anew, in another *series*: its upper bits are the minute in which it began, or a later one. Only
/// counts of one series tell which of them came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PurgeCount(u64);

/// So many bits count purges. What is counted beyond that is counted in the next series.
const BITS: u32 = 31;
const MINUTE: u64 = 60_000;
/// With the bits of the count, the most that stores have as an integer.
const LAST_SERIES: u64 = u32::MAX as u64;

impl PurgeCount {
    /// A count of no purge, in a series that begins now. It is greater than one that is known.
    pub(crate) fn begin(now: UnixMillis, known: Option<Self>) -> Self {
        let after = known.map_or(1, |known| known.series() + 1);
        let series = (now.get() / MINUTE).max(after);
        Self(series.min(LAST_SERIES) << BITS)
    }

    #[inline]
    pub(crate) const fn new(count: u64) -> Self {
        Self(count)
    }

    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The count of one more purge.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    #[inline]
    const fn series(self) -> u64 {
        self.0 >> BITS
    }

    /// Whether nothing has been counted in its series.
    pub(crate) fn is_first(self) -> bool {
        self.series() << BITS == self.0
    }

    /// Whether this is the same or a later one of the same series.
    #[inline]
    pub(crate) fn reaches(self, other: Self) -> bool {
        self.series() == other.series() && self >= other
    }

    /// Whether a store can have counted so far by now.
    pub(crate) fn is_possible(self, now: UnixMillis) -> bool {
        (1..=LAST_SERIES).contains(&self.series())
            && UnixMillis::new(self.series() * MINUTE).is_possible(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::new(1_800_000_000_000);

    #[test]
    fn a_series_is_later_than_what_was_known() {
        let first = PurgeCount::begin(NOW, None);
        assert!(first.is_first() && first.is_possible(NOW));
        let counted = PurgeCount::new(first.get() + 5).next();
        assert!(!counted.is_first() && counted.reaches(first) && !first.reaches(counted));
        for known in [first, counted] {
            let next = PurgeCount::begin(NOW, Some(known));
            assert!(next > known && !next.reaches(known) && next.is_first());
            assert!(next.is_possible(NOW));
        }
        let behind = PurgeCount::begin(UnixMillis::EPOCH, Some(counted));
        assert!(behind > counted);
    }

    #[test]
    fn what_no_store_has_counted_is_not_possible() {
        for count in [0, 1, (1 << BITS) - 1, u64::MAX, i64::MAX as u64] {
            assert!(!PurgeCount::new(count).is_possible(NOW), "{count}");
        }
        let day = 24 * 60 * MINUTE;
        let ahead = |millis| PurgeCount::begin(UnixMillis::new(NOW.get() + millis), None);
        assert!(ahead(day - MINUTE).is_possible(NOW));
        assert!(!ahead(day + MINUTE).is_possible(NOW));
        let last = PurgeCount::begin(UnixMillis::MAX, None);
        assert!(i64::try_from(last.get()).is_ok());
        assert_eq!(PurgeCount::begin(NOW, Some(last)), last);
    }
}
