//! What becomes of a value that is to be stored.

use crate::core;
use std::fmt;

/// What has become of a value that was to be stored; returned by [`Cache::insert`](crate::Cache::insert) and its siblings.
///
/// ```
/// use nori_cache::{Cache, Inserted, Refusal};
///
/// let cache: Cache<&str, Vec<u8>> = Cache::<&str, Vec<u8>>::builder()
///     .max_weight(100)
///     .weigher(|_, bytes| bytes.len() as u64)
///     .build()?;
/// assert_eq!(cache.insert("key", vec![0; 60]), Inserted::Created);
/// assert_eq!(cache.insert("key", vec![0; 70]), Inserted::Replaced);
/// assert_eq!(cache.insert("key", vec![0; 101]), Inserted::Refused(Refusal::TooHeavy));
/// assert!(cache.is_empty());
/// # Ok::<(), nori_cache::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Inserted {
    /// It is stored under a key that had no live entry.
    Created,
    /// It is stored in the place of a live entry.
    Replaced,
    /// It is not stored, and the key has no entry any more: none is better than an old one.
    Refused(Refusal),
}

impl Inserted {
    /// Whether the value is stored.
    pub fn is_stored(self) -> bool {
        !matches!(self, Self::Refused(_))
    }
}

/// Why a value was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It weighs more than the cache holds: [`max_weight`](crate::Cache::max_weight).
    TooHeavy,
    /// Pinned entries leave no room for it: each of [`max_keys`](crate::Cache::max_keys) keys is pinned, or what is pinned and this
    /// value weigh more than [`max_weight`](crate::Cache::max_weight).
    Pinned,
    /// Its time to live is zero.
    ZeroTtl,
}

impl From<core::Refusal> for Refusal {
    fn from(refusal: core::Refusal) -> Self {
        match refusal {
            core::Refusal::TooHeavy => Self::TooHeavy,
            core::Refusal::Pinned => Self::Pinned,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooHeavy => "it weighs more than the cache holds",
            Self::Pinned => "pinned entries leave no room for it",
            Self::ZeroTtl => "its time to live is zero",
        })
    }
}
