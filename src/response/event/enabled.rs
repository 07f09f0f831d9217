//! With the feature `tracing`: events with the target `nori_cache::response`.

use crate::error::Error;
use crate::response::outcome::{Failure, Outcome};
use crate::response::policy::refusal::Refusal;
use crate::response::request::bypass::Bypass;
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

/// A request was answered. Each request has one event: this one, or [`bypassed`].
#[inline]
pub(crate) fn answered(outcome: Outcome, key: &str, backend_down: bool) {
    let (how, detail) = (outcome.name(), outcome.detail());
    debug!(target: target!(), how, detail, key, backend_down, "answered");
}

/// A request was passed through.
#[inline]
pub(crate) fn bypassed(bypass: Bypass, path: &str) {
    let outcome = Outcome::Bypassed(bypass);
    let (how, detail) = (outcome.name(), outcome.detail());
    debug!(target: target!(), how, detail, path, "answered");
}

/// A router may have shortened the paths of requests, and the layer cannot see the whole ones.
pub(crate) fn path_unknown() {
    warn!(
        target: target!(),
        "nothing is cached: requests come from a version of axum that keeps their whole paths where they cannot be found. \
         Use axum 0.8 and the feature `response`, or say where the path is with `CacheResponse::original_uri`"
    );
}

/// A handler's response of this many bytes was stored, or was not.
pub(crate) fn kept(outcome: Outcome, key: &str, bytes: usize) {
    if let Outcome::NotStored(_) = outcome {
        debug!(target: target!(), key, detail = outcome.detail(), "not stored");
    } else {
        debug!(target: target!(), key, bytes, "stored");
    }
}

/// A client that waits for the handler. If it goes away before there is an answer, there is no event.
pub(crate) struct WaitingClient {
    key: Arc<str>,
    backend_down: bool,
}

impl WaitingClient {
    pub(crate) fn new(key: &Arc<str>, backend_down: bool) -> Self {
        let key = Arc::clone(key);
        Self { key, backend_down }
    }

    pub(crate) fn answered(&self, outcome: Outcome) {
        answered(outcome, &self.key, self.backend_down);
    }
}

impl Drop for WaitingClient {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.answered(Outcome::Failed(Failure::Panic));
        }
    }
}

/// A handler that goes on without a client.
pub(crate) struct Unattended(Arc<str>);

impl Unattended {
    pub(crate) fn new(key: &Arc<str>) -> Self {
        Self(Arc::clone(key))
    }

    /// The handler has been dropped.
    pub(crate) fn dropped(&self, why: Refusal) {
        kept(Outcome::NotStored(why), &self.0, 0);
    }
}
