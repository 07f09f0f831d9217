//! [`PurgeNumber`]: which purge came after which.

use crate::response::clock::UnixMillis;

/// The number of a purge by prefix: the time of the purge in milliseconds since 1970, or one more than the last number, if
/// that is larger. So numbers rise whatever clocks say. 0 stands for no purge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PurgeNumber(u64);

impl PurgeNumber {
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    #[inline]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The number of a purge that comes now, as the next one after this.
    pub(crate) fn next(self, now: UnixMillis) -> Self {
        Self(now.get().max(self.0.saturating_add(1)))
    }

    /// Whether there can have been a purge of this number by now.
    pub(crate) fn is_possible(self, now: UnixMillis) -> bool {
        UnixMillis::new(self.0).is_possible(now)
    }
}
