//! From a stored entry to an answer: in full, without its body (HEAD, 304), or a part of it (206).

use crate::response::answer::body::CacheBody;
use crate::response::entry::stored_response::Entry;
use crate::response::http::cache_status::Line;
use crate::response::http::validators::any_matches;
use crate::response::policy::plan::date;
use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CACHE_STATUS, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, DATE, ETAG,
    EXPIRES, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use std::ops::RangeInclusive;

/// What a request asks for beside the resource: taken out of it before it goes to the handler, whose answer is to be stored in
/// full, and applied to the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wishes {
    pub(crate) head: bool,
    none_match: Option<Vec<HeaderValue>>,
    modified_since: Option<HeaderValue>,
    range: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
}

impl Wishes {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let mut wishes = Self {
            head: method == Method::HEAD,
            ..Self::default()
        };
        // One look over all of them is cheaper than one for each name.
        for (name, value) in headers {
            let slot = match *name {
                IF_NONE_MATCH => {
                    wishes
                        .none_match
                        .get_or_insert_default()
                        .push(value.clone());
                    continue;
                }
                IF_MODIFIED_SINCE => &mut wishes.modified_since,
                RANGE if !wishes.head => &mut wishes.range,
                IF_RANGE => &mut wishes.if_range,
                _ => continue,
            };
            slot.get_or_insert_with(|| value.clone());
        }
        wishes
    }

    pub(crate) fn has_range(&self) -> bool {
        self.range.is_some()
    }

    /// Leaves the handler a plain request.
    pub(crate) fn strip(headers: &mut HeaderMap) {
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
            headers.remove(name);
        }
    }

    /// Whether the client has this response: RFC 9110 §13.2.2.
    pub(crate) fn is_not_modified(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if status != StatusCode::OK {
            return false;
        }
        if let Some(lines) = &self.none_match {
            return lines
                .iter()
                .any(|line| any_matches(line.as_bytes(), headers.get(ETAG)));
        }
        let Some(since) = self.modified_since.as_ref().and_then(date) else {
            return false;
        };
        let changed = headers
            .get(LAST_MODIFIED)
            .or(headers.get(DATE))
            .and_then(date);
        changed.is_some_and(|changed| changed <= since)
    }

    /// The part that is asked for, if the whole need not be sent; `Err` if there is no such part.
    fn part(&self, entry: &Entry) -> Option<Result<RangeInclusive<u64>, ()>> {
        let range = self.range.as_ref()?;
        if entry.status != StatusCode::OK || self.head || !self.may_be_part(&entry.headers) {
            return None;
        }
        parse_range(range.to_str().ok()?, entry.body.len() as u64)
    }

    /// RFC 9110 §13.1.5: only if the client's other parts are of this very response.
    fn may_be_part(&self, headers: &HeaderMap) -> bool {
        let Some(wanted) = &self.if_range else {
            return true;
        };
        match headers.get(ETAG) {
            Some(etag) if wanted == etag => !etag.as_bytes().starts_with(b"W/"),
            // A date, and exactly this one.
            _ => date(wanted).is_some() && headers.get(LAST_MODIFIED) == Some(wanted),
        }
    }
}

/// A single range of bytes: RFC 9110 §14.1.2. `None` for what is better answered in full: several ranges, other units,
/// nonsense.
fn parse_range(range: &str, length: u64) -> Option<Result<RangeInclusive<u64>, ()>> {
    let (unit, range) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too large for 64 bits is beyond any body.
        true if !digits.is_empty() => Some(digits.parse().unwrap_or(u64::MAX)),
        _ => None,
    };
    if first.is_empty() {
        let suffix: u64 = number(last)?;
        let satisfiable = suffix > 0 && length > 0;
        return Some(
            satisfiable
                .then(|| length.saturating_sub(suffix)..=length - 1)
                .ok_or(()),
        );
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    let satisfiable = first < length;
    Some(satisfiable.then(|| first..=last.min(length - 1)).ok_or(()))
}

/// The answer from an entry.
pub(crate) fn answer<B>(
    entry: &Entry,
    wishes: &Wishes,
    now: u64,
    status: HeaderValue,
) -> Response<CacheBody<B>> {
    if wishes.is_not_modified(entry.status, &entry.headers) {
        return not_modified(&entry.headers, entry.age(now).as_secs(), status);
    }
    let mut headers = entry.headers.clone();
    set(&mut headers, entry.age(now).as_secs(), status);
    let mut code = entry.status;
    let body = match wishes.part(entry) {
        _ if wishes.head => {
            put(&mut headers, CONTENT_LENGTH, entry.body.len().into());
            Bytes::new()
        }
        None => entry.body.clone(),
        Some(part) => {
            let length = entry.body.len();
            let (text, body) = match part {
                Ok(part) => {
                    code = StatusCode::PARTIAL_CONTENT;
                    let body = entry
                        .body
                        .slice(*part.start() as usize..=*part.end() as usize);
                    (
                        format!("bytes {}-{}/{length}", part.start(), part.end()),
                        body,
                    )
                }
                Err(()) => {
                    code = StatusCode::RANGE_NOT_SATISFIABLE;
                    (format!("bytes */{length}"), Bytes::new())
                }
            };
            if let Ok(range) = HeaderValue::try_from(text) {
                put(&mut headers, CONTENT_RANGE, range);
            }
            put(&mut headers, CONTENT_LENGTH, body.len().into());
            body
        }
    };
    respond(code, headers, CacheBody::stored(body))
}

/// RFC 9110 §15.4.5: without a body, and with the headers that a 200 would have that a cache needs.
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
    set(&mut headers, age, status);
    respond(StatusCode::NOT_MODIFIED, headers, CacheBody::default())
}

/// Where a stored entry is required and there is none: RFC 9111 §5.2.1.7.
pub(crate) fn only_if_cached<B>(status: HeaderValue) -> Response<CacheBody<B>> {
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

fn set(headers: &mut HeaderMap, age: u64, status: HeaderValue) {
    let age = Line::of_number(age).into_value();
    match headers.get_mut(AGE) {
        // To insert would make room for one more first, and that may be a larger map.
        Some(place) => *place = age,
        None => put(headers, AGE, age),
    }
    match headers.get_mut(CACHE_STATUS) {
        // The place that is kept for it.
        Some(place) if place == "0" => *place = status,
        _ => add_status(headers, status),
    }
}

/// Adds to what caches nearer to the handler have said: RFC 9211 §2.
pub(crate) fn add_status(headers: &mut HeaderMap, status: HeaderValue) {
    add(headers, CACHE_STATUS, status);
}

/// Sets a header. What is stored leaves room for it.
fn put(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_insert(name, value);
}

/// Adds a header, unless the map is full: then it stays as it is, as what is added here is good to know and no more.
pub(crate) fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    let _ = headers.try_append(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_14_1_2_single_ranges() {
        for (range, want) in [
            ("bytes=0-4", Some(Ok(0..=4))),
            ("bytes=5-", Some(Ok(5..=9))),
            ("bytes=-3", Some(Ok(7..=9))),
            ("bytes=-99", Some(Ok(0..=9))),
            ("Bytes = 2-99999999999999999999999", Some(Ok(2..=9))),
            ("bytes=10-", Some(Err(()))),
            ("bytes=-0", Some(Err(()))),
            ("bytes=3-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
            ("bytes=-", None),
            ("bytes", None),
        ] {
            assert_eq!(parse_range(range, 10), want, "{range}");
        }
        assert_eq!(parse_range("bytes=-1", 0), Some(Err(())));
        assert_eq!(parse_range("bytes=0-", 0), Some(Err(())));
    }
}
