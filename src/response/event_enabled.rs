//! What the layer does, as events of `tracing` with the target `nori_cache::response`.

use crate::error::Error;
use std::sync::Arc;
use tracing::{debug, warn};

macro_rules! target {
    () => {
        "nori_cache::response"
    };
}

pub(super) fn backend_failed(error: &Error) {
    warn!(target: target!(), %error, "the cache's backend failed; the handler answers");
}

/// Once for each request, with [`passed`].
#[inline]
pub(super) fn answered(how: &str, detail: &str, key: &str, backend_down: bool) {
    debug!(target: target!(), how, detail, key, backend_down, "answered");
}

/// A client that waits for the handler: no event without it.
pub(super) struct Asker {
    key: Arc<str>,
    backend_down: bool,
}

impl Asker {
    pub(super) fn new(key: &Arc<str>, backend_down: bool) -> Self {
        let key = Arc::clone(key);
        Self { key, backend_down }
    }

    pub(super) fn answered(&self, (how, detail): super::lead::How) {
        answered(how, detail, &self.key, self.backend_down);
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.answered(("failed", "panic"));
        }
    }
}

/// For those that the cache has nothing to do with.
#[inline]
pub(super) fn passed(detail: &str, path: &str) {
    debug!(target: target!(), how = "bypass", detail, path, "answered");
}

/// A handler that nobody waits for any longer.
pub(super) struct Stray(Arc<str>);

impl Stray {
    pub(super) fn new(key: &Arc<str>) -> Self {
        Self(Arc::clone(key))
    }

    /// It has been dropped.
    pub(super) fn ended(&self, detail: &str) {
        refused(&self.0, detail);
    }
}

pub(super) fn stored(key: &str, bytes: usize) {
    debug!(target: target!(), key, bytes, "stored");
}

pub(super) fn refused(key: &str, detail: &str) {
    debug!(target: target!(), key, detail, "not stored");
}
