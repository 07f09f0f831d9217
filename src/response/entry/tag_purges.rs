//! [`TagPurges`]: what tells whether anything was purged by tag meanwhile.

use super::purge_count::PurgeCount;

/// What purges by tag have left at some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TagPurges {
    /// The count in the store; `None` if there is none.
    pub(crate) stored: Option<PurgeCount>,
    /// How many purges this layer has made.
    pub(crate) made: u64,
}

impl TagPurges {
    /// Whether the store had counted no more at another time.
    pub(crate) fn has_observed(self, other: Self) -> bool {
        match (self.stored, other.stored) {
            (Some(own), Some(other)) => own.reaches(other),
            (own, other) => own == other,
        }
    }

    /// From which purge on it counts, in the series of a later count, whether a tag was purged since. `None` if the count was lost
    /// meanwhile, so that nobody knows.
    pub(crate) fn since(self, now: PurgeCount) -> Option<PurgeCount> {
        match self.stored {
            Some(before) => now.reaches(before).then_some(before),
            None => now.is_first().then_some(now),
        }
    }
}
