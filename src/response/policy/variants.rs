//! How many variants of a key there may be.

use super::refusal::Refusal;
use crate::response::http::vary;
use http::HeaderMap;
use http::header::HeaderName;

/// The largest number of fields that tell the variants of a key apart, beside those that are in the key.
pub(crate) const MAX_SELECTING_FIELDS: usize = 16;

/// The fields by which a response varies.
///
/// # Errors
/// If they cannot be compared, or are too many.
pub(crate) fn selecting_fields(headers: &HeaderMap) -> Result<Vec<HeaderName>, Refusal> {
    let names = vary::selecting_fields(headers).ok_or(Refusal::Vary)?;
    if names.len() > MAX_SELECTING_FIELDS {
        return Err(Refusal::Vary);
    }
    Ok(names)
}
