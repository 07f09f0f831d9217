//! Why a stored value cannot be read as the type that was asked for, and how often that happened.

use crate::sync::{AtomicU64, Ordering};
use std::fmt;

/// Why a stored value cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No codec of ours wrote it, or another than the one that reads.
    Foreign,
    /// It has another schema version.
    Version,
    /// It is not what the type expects.
    Malformed,
    /// It was not sealed under this key of the cache, or was changed since.
    Forged,
    /// It was sealed with a key that the codec does not have.
    UnknownKey,
    /// It would become larger than the codec's limit.
    Oversized,
}

impl Reason {
    const ALL: [Self; 6] = [
        Self::Foreign,
        Self::Version,
        Self::Malformed,
        Self::Forged,
        Self::UnknownKey,
        Self::Oversized,
    ];

    /// The word for it in metrics and events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Version => "version",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::UnknownKey => "unknown-key",
            Self::Oversized => "oversized",
        }
    }
}

/// A value that cannot be read: the cause of an error. It says nothing of what the value holds.
#[derive(Debug, Clone)]
pub(crate) struct DecodeError {
    pub(crate) reason: Reason,
    text: String,
}

impl DecodeError {
    pub(crate) fn new(reason: Reason, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { reason, text }
    }

    pub(crate) fn foreign() -> Self {
        Self::new(Reason::Foreign, "this codec did not write it")
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for DecodeError {}

/// How many reads of a backend, in this process, found a value that they could not read; a snapshot. Each of them was a miss,
/// or an error where reads are strict. From
/// [`CacheBackendExt::undecodable`](crate::CacheBackendExt::undecodable).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undecodable {
    /// No codec wrote it that this one reads: another program, another codec, an unknown header.
    pub foreign: u64,
    /// It has another schema version.
    pub version: u64,
    /// It is not what the type expects: the type has changed, or the bytes have.
    pub malformed: u64,
    /// It failed authentication: it was changed, or copied from another key.
    pub forged: u64,
    /// It was encrypted with a key that the codec does not have.
    pub unknown_key: u64,
    /// It would have become larger than the codec's limit.
    pub oversized: u64,
}

impl Undecodable {
    /// Each reason's name and number.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let counts = *self;
        let all = Reason::ALL.into_iter();
        all.map(move |reason| (reason.name(), counts.of(reason)))
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.iter()
            .fold(0, |sum, (_, count)| count.saturating_add(sum))
    }

    /// What was counted since `previous` was taken.
    pub(crate) fn since(&self, previous: &Self) -> Self {
        Self {
            foreign: self.foreign.saturating_sub(previous.foreign),
            version: self.version.saturating_sub(previous.version),
            malformed: self.malformed.saturating_sub(previous.malformed),
            forged: self.forged.saturating_sub(previous.forged),
            unknown_key: self.unknown_key.saturating_sub(previous.unknown_key),
            oversized: self.oversized.saturating_sub(previous.oversized),
        }
    }

    fn of(&self, reason: Reason) -> u64 {
        match reason {
            Reason::Foreign => self.foreign,
            Reason::Version => self.version,
            Reason::Malformed => self.malformed,
            Reason::Forged => self.forged,
            Reason::UnknownKey => self.unknown_key,
            Reason::Oversized => self.oversized,
        }
    }
}

/// The counters, one for each reason.
#[derive(Debug, Default)]
pub(crate) struct Counters([AtomicU64; Reason::ALL.len()]);

impl Counters {
    pub(crate) fn count(&self, reason: Reason) {
        // Relaxed: a number to look at; nothing is ordered by it.
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Undecodable {
        // Relaxed: as in `count`.
        let of = |reason: Reason| self.0[reason as usize].load(Ordering::Relaxed);
        Undecodable {
            foreign: of(Reason::Foreign),
            version: of(Reason::Version),
            malformed: of(Reason::Malformed),
            forged: of(Reason::Forged),
            unknown_key: of(Reason::UnknownKey),
            oversized: of(Reason::Oversized),
        }
    }
}
