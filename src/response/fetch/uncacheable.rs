//! [`UncacheableKeys`]: keys whose requests need not wait for each other.

use crate::cache::Cache;
use crate::response::clock::{UnixMillis, WallClock};
use std::time::Duration;

/// How long a key is remembered that proved uncacheable.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
/// How many such keys are remembered.
const MAX_KEYS: usize = 4096;

/// Each key comes with the time at which it is forgotten.
pub(crate) struct UncacheableKeys(Cache<Box<str>, UnixMillis>);

impl Default for UncacheableKeys {
    fn default() -> Self {
        Self(Cache::new(MAX_KEYS))
    }
}

impl UncacheableKeys {
    pub(crate) fn contains(&self, key: &str, clock: &WallClock) -> bool {
        let until = self.0.get(key);
        until.is_some_and(|until| clock.now() < until)
    }

    pub(crate) fn insert(&self, key: &str, clock: &WallClock) {
        self.0.insert(key.into(), clock.now().plus(REMEMBERED_FOR));
    }

    pub(crate) fn remove(&self, key: &str) {
        if !self.0.is_empty() {
            self.0.remove(key);
        }
    }
}
