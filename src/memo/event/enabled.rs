use crate::error::Error;
use tracing::warn;

/// The function runs, or has run, without the cache.
pub(in crate::memo) fn cache_failed(error: &Error) {
    warn!(target: "nori_cache::cached", %error, "the cache failed; the function answers");
}
