//! TLS without the feature `redis-tls`.

use crate::error::Error;

/// # Errors
/// Always: says which feature is missing.
pub(in crate::backend::redis) fn prepare(url: &'static str) -> Result<(), Error> {
    let given = "one that asks for TLS, which this program was built without";
    let allowed = "without TLS, or nori-cache be built with its feature `redis-tls`";
    Err(Error::invalid_config(url, given, allowed))
}
