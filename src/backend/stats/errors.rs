//! [`ErrorCounts`]: how often calls failed, by what went wrong.

use crate::error::Error;
use crate::sync::{AtomicU64, Ordering};

/// What went wrong, as far as calls of a store are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    Timeout,
    Connection,
    WrongType,
    Overflow,
    Encoding,
    Decoding,
    Rejected,
    Overloaded,
    Closed,
    Other,
}

impl ErrorKind {
    const ALL: [Self; 10] = [
        Self::Timeout,
        Self::Connection,
        Self::WrongType,
        Self::Overflow,
        Self::Encoding,
        Self::Decoding,
        Self::Rejected,
        Self::Overloaded,
        Self::Closed,
        Self::Other,
    ];

    pub(crate) fn of(error: &Error) -> Self {
        type Is = fn(&Error) -> bool;
        let is: [(Is, Self); 9] = [
            (Error::is_timeout, Self::Timeout),
            (Error::is_connection, Self::Connection),
            (Error::is_wrong_type, Self::WrongType),
            (Error::is_overflow, Self::Overflow),
            (Error::is_encoding, Self::Encoding),
            (Error::is_decoding, Self::Decoding),
            (Error::is_rejected, Self::Rejected),
            (Error::is_overloaded, Self::Overloaded),
            (Error::is_closed, Self::Closed),
        ];
        is.into_iter()
            .find(|(is, _)| is(error))
            .map_or(Self::Other, |(_, kind)| kind)
    }

    /// The word for it in metrics and spans.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::WrongType => "wrong_type",
            Self::Overflow => "overflow",
            Self::Encoding => "encoding",
            Self::Decoding => "decoding",
            Self::Rejected => "rejected",
            Self::Overloaded => "overloaded",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }
}

/// How often calls failed, by what went wrong: a predicate of [`Error`] each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorCounts {
    /// [`Error::is_timeout`].
    pub timeout: u64,
    /// [`Error::is_connection`].
    pub connection: u64,
    /// [`Error::is_wrong_type`].
    pub wrong_type: u64,
    /// [`Error::is_overflow`].
    pub overflow: u64,
    /// [`Error::is_encoding`].
    pub encoding: u64,
    /// [`Error::is_decoding`].
    pub decoding: u64,
    /// [`Error::is_rejected`].
    pub rejected: u64,
    /// [`Error::is_overloaded`].
    pub overloaded: u64,
    /// [`Error::is_closed`].
    pub closed: u64,
    /// None of these.
    pub other: u64,
}

impl ErrorCounts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.iter()
            .fold(0, |sum, (_, count)| count.saturating_add(sum))
    }

    /// Each kind's name and number.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let counts = *self;
        let all = ErrorKind::ALL.into_iter();
        all.map(move |kind| (kind.name(), *counts.clone().of(kind)))
    }

    /// Counts one: for those who count calls of a backend of their own.
    pub fn record(&mut self, error: &Error) {
        let count = self.of(ErrorKind::of(error));
        *count = count.saturating_add(1);
    }

    pub(super) fn since(&self, previous: &Self) -> Self {
        let mut since = *self;
        for kind in ErrorKind::ALL {
            let before = *previous.clone().of(kind);
            let count = since.of(kind);
            *count = count.saturating_sub(before);
        }
        since
    }

    fn of(&mut self, kind: ErrorKind) -> &mut u64 {
        match kind {
            ErrorKind::Timeout => &mut self.timeout,
            ErrorKind::Connection => &mut self.connection,
            ErrorKind::WrongType => &mut self.wrong_type,
            ErrorKind::Overflow => &mut self.overflow,
            ErrorKind::Encoding => &mut self.encoding,
            ErrorKind::Decoding => &mut self.decoding,
            ErrorKind::Rejected => &mut self.rejected,
            ErrorKind::Overloaded => &mut self.overloaded,
            ErrorKind::Closed => &mut self.closed,
            ErrorKind::Other => &mut self.other,
        }
    }
}

/// The counters, one for each kind.
#[derive(Debug, Default)]
pub(crate) struct ErrorCounters([AtomicU64; ErrorKind::ALL.len()]);

impl ErrorCounters {
    pub(crate) fn count(&self, error: &Error) {
        // Relaxed: a number to look at; nothing is ordered by it.
        self.0[ErrorKind::of(error) as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> ErrorCounts {
        let mut counts = ErrorCounts::default();
        for kind in ErrorKind::ALL {
            // Relaxed: as in `count`.
            *counts.of(kind) = self.0[kind as usize].load(Ordering::Relaxed);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_counted_as_what_it_is() {
        let counters = ErrorCounters::default();
        let mut counts = ErrorCounts::default();
        for (error, kind) in [
            (Error::timeout(""), ErrorKind::Timeout),
            (Error::connection(""), ErrorKind::Connection),
            (Error::wrong_type(""), ErrorKind::WrongType),
            (Error::overflow(""), ErrorKind::Overflow),
            (Error::encoding(""), ErrorKind::Encoding),
            (Error::decoding(""), ErrorKind::Decoding),
            (Error::rejected(""), ErrorKind::Rejected),
            (Error::overloaded(""), ErrorKind::Overloaded),
            (Error::closed(), ErrorKind::Closed),
            (Error::load(""), ErrorKind::Other),
        ] {
            assert_eq!(*counts.of(kind), 0, "{kind:?}");
            counts.record(&error);
            counters.count(&error);
            assert_eq!(*counts.of(kind), 1, "{kind:?}");
            assert_eq!(counters.snapshot(), counts);
        }
        assert_eq!(counts.total(), 10);
        assert!(counts.iter().all(|(_, count)| count == 1));
        assert_eq!(counts.since(&counts), ErrorCounts::default());
    }
}
