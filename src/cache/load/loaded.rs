use crate::time::Ttl;

/// What a loader has loaded, with a time to live of its own if it says so: for tokens that say how long they are good for, and for
/// negative results.
///
/// ```
/// use nori_cache::{Cache, Loaded, Ttl};
/// use std::time::Duration;
///
/// let cache: Cache<String, Option<u32>> = Cache::new(100);
/// let find = |found: Option<u32>| match found {
///     Some(_) => Loaded::new(found),
///     None => Loaded::new(None).ttl(Duration::from_secs(5)),
/// };
/// assert_eq!(cache.get_or_insert_loaded("a", || find(Some(7))), Some(7));
/// assert_eq!(cache.get_or_insert_loaded("b", || find(None)), None);
/// assert_eq!(cache.ttl("a"), Some(Ttl::Never));
/// assert_ne!(cache.ttl("b"), Some(Ttl::Never));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Loaded<V> {
    pub(super) value: V,
    pub(super) ttl: Option<Ttl>,
}

impl<V> Loaded<V> {
    /// A value that lives as long as the cache's ttl says.
    pub fn new(value: V) -> Self {
        Self { value, ttl: None }
    }

    /// How long it is to live. A zero time hands it to those who wait for it, and stores nothing.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::new(value)
    }
}
