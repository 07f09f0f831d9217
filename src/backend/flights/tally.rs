//! What became of a backend's loads, counted.

use crate::sync::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Begun,
    Failed,
    TimedOut,
    FailSafe,
    SoftTimeout,
    Refreshed,
    Refused,
    Overloaded,
    Unread,
    Unstored,
}

/// How often what became of the loads of a backend, in this process; a snapshot. From
/// [`CacheBackendExt::load_counts`](crate::CacheBackendExt::load_counts), and in [`BackendStats`](crate::BackendStats). Hits are not
/// counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadCounts {
    /// Loaders that were called, in the background too.
    pub begun: u64,
    /// Loaders that failed, those that ran into the hard timeout included.
    pub failed: u64,
    /// Loaders that ran into the hard timeout.
    pub timed_out: u64,
    /// Callers that got what had expired because the load failed, or had failed a short while before.
    pub fail_safe: u64,
    /// Callers that got what had expired because the load took longer than the soft timeout.
    pub soft_timeouts: u64,
    /// Refreshes that were begun in the background.
    pub refreshed: u64,
    /// Refreshes that were not begun, as too many loads were in the background.
    pub refused: u64,
    /// Loads that failed at once, as too many waited already to be let load ([`is_overloaded`](crate::Error::is_overloaded)).
    pub overloaded: u64,
    /// Loads that went ahead although the store could not be read.
    pub unread: u64,
    /// Values that were loaded and could not be stored.
    pub unstored: u64,
    /// Loads that are in the background now.
    pub in_background: u64,
}

impl LoadCounts {
    /// What was counted since then. How many are in the background is as it is now.
    pub(crate) fn since(&self, previous: &Self) -> Self {
        Self {
            begun: self.begun.saturating_sub(previous.begun),
            failed: self.failed.saturating_sub(previous.failed),
            timed_out: self.timed_out.saturating_sub(previous.timed_out),
            fail_safe: self.fail_safe.saturating_sub(previous.fail_safe),
            soft_timeouts: self.soft_timeouts.saturating_sub(previous.soft_timeouts),
            refreshed: self.refreshed.saturating_sub(previous.refreshed),
            refused: self.refused.saturating_sub(previous.refused),
            overloaded: self.overloaded.saturating_sub(previous.overloaded),
            unread: self.unread.saturating_sub(previous.unread),
            unstored: self.unstored.saturating_sub(previous.unstored),
            in_background: self.in_background,
        }
    }
}

/// The counters, one for each event.
#[derive(Debug, Default)]
pub(crate) struct Tally([AtomicU64; 10]);

impl Tally {
    pub(crate) fn count(&self, event: Event) {
        // Relaxed: a number to look at; nothing is ordered by it.
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, in_background: usize) -> LoadCounts {
        // Relaxed: as in `count`.
        let of = |event: Event| self.0[event as usize].load(Ordering::Relaxed);
        LoadCounts {
            begun: of(Event::Begun),
            failed: of(Event::Failed),
            timed_out: of(Event::TimedOut),
            fail_safe: of(Event::FailSafe),
            soft_timeouts: of(Event::SoftTimeout),
            refreshed: of(Event::Refreshed),
            refused: of(Event::Refused),
            overloaded: of(Event::Overloaded),
            unread: of(Event::Unread),
            unstored: of(Event::Unstored),
            in_background: in_background as u64,
        }
    }
}
