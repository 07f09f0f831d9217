//! What the layer does, as events of `tracing` with the target `nori_cache::response`.

use crate::error::Error;
use std::sync::Arc;
use tracing::{debug, warn};

macro_rules! target {
    () => {
        "nori_cache::response"
    };
}

pub(crate) fn backend_failed(error: &Error) {
    warn!(target: target!(), %error, "the cache's backend failed; the handler answers");
}

/// Once for each request, with [`passed`].
#[inline]
pub(crate) fn answered(how: &str, detail: &str, key: &str, backend_down: bool) {
    debug!(target: target!(), how, detail, key, backend_down, "answered");
}

/// A client that waits for the handler: no event without it.
pub(crate) struct Asker {
    key: Arc<str>,
    backend_down: bool,
}

impl Asker {
    pub(crate) fn new(key: &Arc<str>, backend_down: bool) -> Self {
        let key = Arc::clone(key);
        Self { key, backend_down }
    }

    pub(crate) fn answered(&self, (how, detail): crate::response::fetch::handler_call::How) {
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
pub(crate) fn passed(detail: &str, path: &str) {
    debug!(target: target!(), how = "bypass", detail, path, "answered");
}

/// A handler that nobody waits for any longer.
pub(crate) struct Stray(Arc<str>);

impl Stray {
    pub(crate) fn new(key: &Arc<str>) -> Self {
        Self(Arc::clone(key))
    }

    /// It has been dropped.
    pub(crate) fn ended(&self, detail: &str) {
        refused(&self.0, detail);
    }
}

pub(crate) fn stored(key: &str, bytes: usize) {
    debug!(target: target!(), key, bytes, "stored");
}

pub(crate) fn refused(key: &str, detail: &str) {
    debug!(target: target!(), key, detail, "not stored");
}
