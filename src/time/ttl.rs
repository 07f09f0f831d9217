use std::time::Duration;

/// How long an entry lives: measured from its insertion, with a resolution of one millisecond, rounded up.
///
/// ```
/// use nori_cache::{Cache, Ttl};
/// use std::time::Duration;
///
/// let cache = Cache::new(100);
/// cache.insert_with_ttl("session", 1, Duration::from_secs(60));
/// cache.insert_with_ttl("config", 2, Ttl::Never);
/// assert_eq!(cache.ttl("config"), Some(Ttl::Never));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ttl {
    /// The entry is gone once this time has passed: not before, and less than a millisecond later. Fractions of a millisecond
    /// are rounded up; a zero duration stores nothing and removes what was there; a time beyond the clock's range (8.7 years
    /// after the cache was built) means never.
    After(Duration),
    /// The entry stays until it is removed or evicted.
    Never,
}

impl From<Duration> for Ttl {
    fn from(after: Duration) -> Self {
        Self::After(after)
    }
}
