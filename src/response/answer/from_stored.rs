//! From a stored response to an answer: in full, without its body (HEAD, 304), or a part of it (206).

use super::body::CacheBody;
use super::headers::{add, put, set_age_and_status};
use crate::response::clock::UnixMillis;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::http::range::Unsatisfiable;
use crate::response::request::conditions::Conditions;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CACHE_STATUS, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, DATE, ETAG,
    EXPIRES, LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::ops::RangeInclusive;

/// The form of a stored response that a request asks for.
pub(crate) fn answer<B>(
    stored: &StoredResponse,
    conditions: &Conditions,
    now: UnixMillis,
    status: HeaderValue,
) -> Response<CacheBody<B>> {
    let age = stored.age(now).as_secs();
    if conditions.is_not_modified(stored.status, &stored.headers) {
        return not_modified(&stored.headers, age, status);
    }
    let mut headers = stored.headers.clone();
    set_age_and_status(&mut headers, age, status);
    if conditions.is_head {
        put(&mut headers, CONTENT_LENGTH, stored.body.len().into());
        return respond(stored.status, headers, CacheBody::default());
    }
    match conditions.part(stored.status, &stored.headers, stored.body.len()) {
        None => respond(
            stored.status,
            headers,
            CacheBody::stored(stored.body.clone()),
        ),
        Some(part) => partial(headers, &stored.body, part),
    }
}

/// RFC 9110 §15.3.7 and §15.5.17.
fn partial<B>(
    mut headers: HeaderMap,
    whole: &Bytes,
    part: Result<RangeInclusive<u64>, Unsatisfiable>,
) -> Response<CacheBody<B>> {
    let length = whole.len();
    let (code, range, body) = match part {
        Ok(part) => (
            StatusCode::PARTIAL_CONTENT,
            format!("bytes {}-{}/{length}", part.start(), part.end()),
            whole.slice(*part.start() as usize..=*part.end() as usize),
        ),
        Err(Unsatisfiable) => (
            StatusCode::RANGE_NOT_SATISFIABLE,
            format!("bytes */{length}"),
            Bytes::new(),
        ),
    };
    if let Ok(range) = HeaderValue::try_from(range) {
        put(&mut headers, CONTENT_RANGE, range);
    }
    put(&mut headers, CONTENT_LENGTH, body.len().into());
    respond(code, headers, CacheBody::stored(body))
}

/// A 304: without a body, and with those fields of the 200 that a cache needs. RFC 9110 §15.4.5.
pub(crate) fn not_modified<B>(
    stored: &HeaderMap,
    age: u64,
    status: HeaderValue,
) -> Response<CacheBody<B>> {
    let mut headers = HeaderMap::new();
    for name in [
        CACHE_CONTROL,
        CONTENT_LOCATION,
        DATE,
        ETAG,
        EXPIRES,
        LAST_MODIFIED,
        VARY,
        CACHE_STATUS,
    ] {
        for value in stored.get_all(&name) {
            add(&mut headers, name.clone(), value.clone());
        }
    }
    set_age_and_status(&mut headers, age, status);
    respond(StatusCode::NOT_MODIFIED, headers, CacheBody::default())
}

/// The answer to a request that only takes stored responses, where there is none: RFC 9111 §5.2.1.7.
pub(crate) fn gateway_timeout<B>(status: HeaderValue) -> Response<CacheBody<B>> {
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_STATUS, status);
    respond(StatusCode::GATEWAY_TIMEOUT, headers, CacheBody::default())
}

fn respond<B>(
    status: StatusCode,
    headers: HeaderMap,
    body: CacheBody<B>,
) -> Response<CacheBody<B>> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
