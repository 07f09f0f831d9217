//! What a 304, or the answer to a HEAD, makes of a stored response: RFC 9111 §4.3.4 and §4.3.5.

use super::stored_response::StoredResponse;
use crate::response::http::{fields, validators};
use http::header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderName};
use http::response::Parts;
use http::{HeaderMap, Response};

/// The head of a stored response, brought up to date with a 304: RFC 9111 §3.2. `None` if the 304 is about another response, or
/// brings more fields than a map holds.
pub(crate) fn updated_head(stale: &StoredResponse, fresh: &Parts) -> Option<Parts> {
    if !validators::are_same(&stale.headers, &fresh.headers) {
        return None;
    }
    let (mut merged, ()) = Response::new(()).into_parts();
    merged.status = stale.status;
    merged.extensions = fresh.extensions.clone();
    merged.headers = stale.headers.clone();
    let update = fields::stored(&fresh.headers)?;
    for name in update.keys().filter(|name| !is_of_stored_body(name)) {
        merged.headers.remove(name);
        for value in update.get_all(name) {
            merged
                .headers
                .try_append(name.clone(), value.clone())
                .ok()?;
        }
    }
    if !update.contains_key(DATE) {
        merged.headers.remove(DATE);
    }
    // The stored `Age` no longer holds, and that of the 304 is not among the stored fields.
    merged.headers.remove(AGE);
    if let Some(age) = fresh.headers.get(AGE) {
        merged.headers.try_append(AGE, age.clone()).ok()?;
    }
    Some(merged)
}

/// Whether the answer to a HEAD shows that the resource has changed since this was stored: RFC 9111 §4.3.5.
pub(crate) fn is_outdated(stored: &StoredResponse, fresh: &HeaderMap) -> bool {
    let has_other_length = fresh.get(CONTENT_LENGTH).is_some_and(|length| {
        let own = stored.body.len().to_string();
        length.to_str().ok() != Some(own.as_str())
    });
    has_other_length || !validators::are_same(&stored.headers, fresh)
}

/// Whether a field says how the stored bytes are to be read, or whether they are the same each time. A 304 does not change that.
fn is_of_stored_body(name: &HeaderName) -> bool {
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, ETAG].contains(name)
}
