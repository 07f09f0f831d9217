//! With the feature `tracing`: spans and events with the target `nori_cache::backend`. They do not name what is stored, nor keys that
//! are not to be told.
//!
//! A hit in memory has no span, at whatever level: it takes less time than the cheapest of spans.

use crate::backend::undecodable::Reason;
use std::future::Future;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, debug_span, warn};

macro_rules! target {
    () => {
        "nori_cache::backend"
    };
}

/// A read found a value that it could not read as its type: a miss. One that was tampered with is a warning.
pub(in crate::backend) fn undecodable(
    operation: &'static str,
    reason: Reason,
    wanted: &'static str,
) {
    let why = reason.name();
    if reason == Reason::Forged {
        warn!(target: target!(), operation, why, wanted, "undecodable");
    } else {
        debug!(target: target!(), operation, why, wanted, "undecodable");
    }
}

/// A loader that runs.
pub(in crate::backend) struct LoadSpan(Span);

impl LoadSpan {
    pub(in crate::backend) fn new(key: Option<&str>) -> Self {
        Self(debug_span!(
            target: target!(),
            "load",
            otel.status_code = Empty,
            error.type = Empty,
            nori_cache.key = key,
        ))
    }

    pub(in crate::backend) fn around<F: Future>(
        &self,
        work: F,
    ) -> impl Future<Output = F::Output> + use<F> {
        work.instrument(self.0.clone())
    }

    /// `error` is the type of the error.
    pub(in crate::backend) fn failed(&self, error: &'static str) {
        self.0.record("error.type", error);
        self.0.record("otel.status_code", "ERROR");
    }
}

impl Drop for LoadSpan {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed("panic");
        }
    }
}
