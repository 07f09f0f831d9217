//! What a 304, or the answer to a HEAD, makes of a stored response: RFC 9111 §4.3.4 and §4.3.5.

use crate::response::entry::stored_response::Entry;
use crate::response::http::validators::opaque_tag;
use crate::response::policy::storable::end_to_end;
use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderName, LAST_MODIFIED,
};
use http::response::Parts;
use http::{HeaderMap, Response};

/// The stored response's head, brought up to date: RFC 9111 §3.2. `None` if the 304 is about another response than the stored
/// one, or brings more headers than a map holds.
pub(crate) fn freshened(stale: &Entry, fresh: &Parts) -> Option<Parts> {
    if !is_about(&stale.headers, &fresh.headers) {
        return None;
    }
    let (mut merged, ()) = Response::new(()).into_parts();
    merged.status = stale.status;
    merged.extensions = fresh.extensions.clone();
    merged.headers = stale.headers.clone();
    let update = end_to_end(&fresh.headers)?;
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
    // Of the stored response's age nothing holds any longer, and `end_to_end` keeps that of the 304 out.
    merged.headers.remove(AGE);
    if let Some(age) = fresh.headers.get(AGE) {
        merged.headers.try_append(AGE, age.clone()).ok()?;
    }
    Some(merged)
}

/// Whether the answer to a HEAD shows that the stored response is another one: RFC 9111 §4.3.5.
pub(crate) fn is_outdated(stored: &Entry, fresh: &HeaderMap) -> bool {
    let length = fresh.get(CONTENT_LENGTH).map(|length| length.to_str());
    let other_length =
        length.is_some_and(|length| length.ok() != Some(stored.body.len().to_string().as_str()));
    other_length || !is_about(&stored.headers, fresh)
}

/// Whether a 304's validators are those of the stored response. Some servers weaken tags that they send with compressed bodies
/// only, so tags are compared weakly; and many leave out in a 304 what they said before.
fn is_about(stale: &HeaderMap, fresh: &HeaderMap) -> bool {
    match (stale.get(ETAG), fresh.get(ETAG)) {
        (Some(stale), Some(fresh)) => opaque_tag(stale.as_bytes()) == opaque_tag(fresh.as_bytes()),
        (None, Some(_)) => false,
        (_, None) => match (stale.get(LAST_MODIFIED), fresh.get(LAST_MODIFIED)) {
            (Some(stale), Some(fresh)) => stale == fresh,
            _ => true,
        },
    }
}

/// What is of the stored body's bytes, whatever a 304 says: how they are to be read, and whether they are the same each time.
fn is_of_stored_body(name: &HeaderName) -> bool {
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE, ETAG].contains(name)
}
