//! [`PurgeMarks`]: what tells whether a key was purged meanwhile.

/// What purges of a key have left at some time. If two of them are equal, the key was not purged in between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct PurgeMarks {
    /// The mark in the store; 0 if there is none.
    pub(crate) stored: u64,
    /// How many purges this layer has counted.
    pub(crate) counted: u64,
}
