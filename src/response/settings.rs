//! What a layer is told.

use super::clock::WallClock;
use super::policy::settings::{Mode, PolicySettings};
use super::request::key_settings::{KeySettings, RequestFn};
use crate::backend::CacheBackend;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) policy: PolicySettings,
    pub(crate) keys: KeySettings,
    pub(crate) backend: Option<Arc<dyn CacheBackend>>,
    pub(crate) clock: WallClock,
    /// Requests that have nothing to do with the cache.
    pub(crate) bypass: Option<RequestFn<bool>>,
    /// How long a request waits for another one's handler.
    pub(crate) patience: Duration,
    /// How much may go on without a client.
    pub(crate) max_detached: usize,
    /// How long a handler may go on without a client.
    pub(crate) detached_timeout: Duration,
    /// How many bytes of bodies may be held, if the user says so.
    pub(crate) max_buffered: Option<u64>,
}

impl Settings {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            policy: PolicySettings::new(mode),
            keys: KeySettings::default(),
            backend: None,
            clock: WallClock::System,
            bypass: None,
            patience: Duration::from_secs(10),
            max_detached: 1024,
            detached_timeout: Duration::from_secs(60),
            max_buffered: None,
        }
    }

    /// How many bytes of bodies on their way all responses may hold together.
    pub(crate) fn max_buffered(&self) -> u64 {
        // Enough for sixteen of the largest bodies whose readers do not read: each is held once for the store and once for its
        // reader.
        self.max_buffered
            .unwrap_or(self.policy.max_body.saturating_mul(32))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("mode", &self.policy.mode)
            .field("key_prefix", &self.keys.prefix)
            .field("key_fn", &self.keys.key_fn.is_some())
            .field("vary_on", &self.keys.vary_on)
            .field("max_body", &self.policy.max_body)
            .finish_non_exhaustive()
    }
}
