//! What the layer does, as events of `tracing`.

use crate::error::Error;

pub(super) fn backend_failed(error: &Error) {
    tracing::warn!(%error, "the cache's backend failed; the handler answers");
}

pub(super) fn answered(how: &str, key: &str) {
    tracing::debug!(how, key, "answered");
}

pub(super) fn stored(key: &str, bytes: usize) {
    tracing::debug!(key, bytes, "stored");
}

pub(super) fn refused(key: &str, why: &str) {
    tracing::debug!(key, why, "not stored");
}
