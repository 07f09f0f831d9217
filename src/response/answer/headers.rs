//! Fields that answers get. Where a map is full it stays as it is, because what is added here is good to know and no more.

use crate::response::http::text::ShortText;
use http::header::{AGE, CACHE_STATUS, HeaderName};
use http::{HeaderMap, HeaderValue};

/// Adds to what caches nearer to the handler have said: RFC 9211 §2.
pub(crate) fn add_status(headers: &mut HeaderMap, status: HeaderValue) {
    add(headers, CACHE_STATUS, status);
}

/// Adds a field.
pub(crate) fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_append(name, value);
}

/// Sets a field. What is stored leaves room for it.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_insert(name, value);
}

/// Sets the two fields that all answers from stored responses have.
#[inline]
pub(super) fn set_age_and_status(headers: &mut HeaderMap, age: u64, status: HeaderValue) {
    let age = ShortText::of_number(age).into_value();
    match headers.get_mut(AGE) {
        // An insert would first make room for one more field, which may take a larger map.
        Some(old) => *old = age,
        None => put(headers, AGE, age),
    }
    match headers.get_mut(CACHE_STATUS) {
        // The placeholder of a stored response.
        Some(old) if old == "0" => *old = status,
        _ => add_status(headers, status),
    }
}
