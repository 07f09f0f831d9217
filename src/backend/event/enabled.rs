//! With the feature `tracing`: spans and events with the target `nori_cache::backend`. They do not name what is stored, nor keys that
//! are not to be told.
//!
//! A hit in memory has no span, at whatever level: it is to cost what it does without the feature.

use crate::backend::undecodable::Reason;
use crate::sync::{AtomicBool, Ordering};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use tracing::field::Empty;
use tracing::{Span, debug, debug_span, warn};

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

/// A loader that runs; whether it is to replace what its caller has been answered with.
pub(in crate::backend) struct LoadSpan {
    span: Span,
    /// Whether it is being polled. If so when this is dropped, it has panicked.
    is_running: AtomicBool,
}

impl LoadSpan {
    pub(in crate::backend) fn new(key: Option<&str>, is_refresh: bool) -> Self {
        let span = debug_span!(
            target: target!(),
            "load",
            otel.status_code = Empty,
            error.type = Empty,
            nori_cache.refresh = is_refresh,
            nori_cache.key = key,
        );
        Self {
            span,
            is_running: AtomicBool::new(false),
        }
    }

    pub(in crate::backend) fn around<F: Future>(
        &self,
        mut work: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        poll_fn(move |context| {
            // Relaxed, both: for this task, which polls and drops.
            self.is_running.store(true, Ordering::Relaxed);
            let polled = self.span.in_scope(|| work.as_mut().poll(context));
            self.is_running.store(false, Ordering::Relaxed);
            polled
        })
    }

    /// `error` is the type of the error.
    pub(in crate::backend) fn failed(&self, error: &'static str) {
        self.span.record("error.type", error);
        self.span.record("otel.status_code", "ERROR");
    }
}

impl Drop for LoadSpan {
    fn drop(&mut self) {
        // Relaxed: as above.
        if self.is_running.load(Ordering::Relaxed) {
            self.failed("panic");
        }
    }
}
