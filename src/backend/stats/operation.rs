//! [`OperationStats`]: what calls of one kind have come to.

use super::ErrorCounts;
use crate::histogram::Histogram;

/// What a backend is asked to do: a method of [`CacheBackend`](crate::CacheBackend) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// [`get_value`](crate::CacheBackend::get_value), and reads in place.
    Get,
    /// [`get_values`](crate::CacheBackend::get_values).
    GetMany,
    /// [`set_value`](crate::CacheBackend::set_value).
    Set,
    /// [`set_values`](crate::CacheBackend::set_values).
    SetMany,
    /// [`delete_value`](crate::CacheBackend::delete_value).
    Delete,
    /// [`delete_values`](crate::CacheBackend::delete_values).
    DeleteMany,
    /// [`flush_values`](crate::CacheBackend::flush_values).
    Flush,
    /// [`incr_value`](crate::CacheBackend::incr_value), and increments in place.
    Incr,
    /// [`compare_and_set`](crate::CacheBackend::compare_and_set), also of many keys: how updates, and loads, store. Its errors say
    /// `atomic_update`.
    CompareAndSet,
    /// [`value_ttl`](crate::CacheBackend::value_ttl).
    Ttl,
    /// [`verify`](crate::CacheBackend::verify).
    Verify,
}

impl Operation {
    /// All of them, in the order of their numbers.
    pub(crate) const ALL: [Self; 11] = [
        Self::Get,
        Self::GetMany,
        Self::Set,
        Self::SetMany,
        Self::Delete,
        Self::DeleteMany,
        Self::Flush,
        Self::Incr,
        Self::CompareAndSet,
        Self::Ttl,
        Self::Verify,
    ];

    /// The word for it in metrics: `get`, `get_many` and so on.
    pub fn name(self) -> &'static str {
        match self {
            Self::CompareAndSet => "compare_and_set",
            other => other.in_errors(),
        }
    }

    /// Whether its answer says which keys were there. Of an update it says something else.
    #[cfg_attr(not(feature = "metrics"), allow(dead_code))]
    pub(crate) fn looks_for_keys(self) -> bool {
        match self {
            Self::Get | Self::GetMany | Self::Delete | Self::Ttl => true,
            Self::Set | Self::SetMany | Self::DeleteMany | Self::Flush => false,
            Self::Incr | Self::CompareAndSet | Self::Verify => false,
        }
    }

    /// The word for it in errors.
    pub(crate) fn in_errors(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetMany => "get_many",
            Self::Set => "set",
            Self::SetMany => "set_many",
            Self::Delete => "delete",
            Self::DeleteMany => "delete_many",
            Self::Flush => "flush",
            Self::Incr => "incr",
            Self::CompareAndSet => "atomic_update",
            Self::Ttl => "ttl",
            Self::Verify => "verify",
        }
    }
}

/// What calls of one kind have come to: part of [`BackendStats`](super::BackendStats).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationStats {
    /// Calls that have ended, whichever way.
    pub calls: u64,
    /// Keys that were there: of the reads, removals and lifetimes that were asked for. For
    /// [`CompareAndSet`](Operation::CompareAndSet), those that still had the value that was expected.
    pub hits: u64,
    /// Keys that were not. Removals of many do not say.
    pub misses: u64,
    /// How many of the misses were a load's second look. The caller who is to load looks again, in case another's load has ended just
    /// then; so a key that is loaded is missed twice, for one caller.
    pub missed_again: u64,
    /// Calls that failed, by what went wrong.
    pub errors: ErrorCounts,
    /// Calls whose future was dropped before it was ready.
    pub abandoned: u64,
    /// How long the others took. Empty where that is not taken: the backend in memory reads no clock for it.
    pub latency: Histogram,
}

impl OperationStats {
    /// Keys that callers looked for and that were not there, each once.
    pub fn callers_misses(&self) -> u64 {
        self.misses.saturating_sub(self.missed_again)
    }

    /// Hits in all keys that callers looked for, from 0 to 1; 0 before the first one.
    pub fn hit_ratio(&self) -> f64 {
        match self.hits.saturating_add(self.callers_misses()) {
            0 => 0.0,
            all => self.hits as f64 / all as f64,
        }
    }

    /// Calls that did what they were asked to.
    pub fn succeeded(&self) -> u64 {
        let not = self.errors.total().saturating_add(self.abandoned);
        self.calls.saturating_sub(not)
    }

    pub(super) fn since(&self, previous: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(previous.calls),
            hits: self.hits.saturating_sub(previous.hits),
            misses: self.misses.saturating_sub(previous.misses),
            missed_again: self.missed_again.saturating_sub(previous.missed_again),
            errors: self.errors.since(&previous.errors),
            abandoned: self.abandoned.saturating_sub(previous.abandoned),
            latency: self.latency.since(&previous.latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_numbered_as_they_are_listed() {
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, number, "{}", operation.name());
        }
    }
}
