//! What may lie in the store, whoever has put it there: the same rules for what is written and for what is read. They are
//! those that do not depend on a layer's settings; `policy` adds the others.
//!
//! A stored entry that breaks one was not written by us, so nothing else in it is believed either: it counts as missing, and
//! is replaced.

use super::directives::Directives;
use super::policy::{CDN_CACHE_CONTROL, Refusal, vary};
use super::stored::{Entry, MOST_HEADERS, Origin};
use http::header::{
    AGE, CACHE_CONTROL, CACHE_STATUS, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, StatusCode};

/// Whether a response may be stored that says this of caching.
///
/// # Errors
/// Why not.
pub(crate) fn check(
    said: &Directives,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if said.malformed {
        return Err(Refusal::Malformed);
    }
    let understood = !said.must_understand || is_understood(status);
    // RFC 9111 §5.2.2.3: `must-understand` stands over `no-store` for those who understand.
    if !understood || (said.no_store && !said.must_understand) {
        return Err(Refusal::NoStore);
    }
    if said.private {
        return Err(Refusal::Private);
    }
    if headers.contains_key(SET_COOKIE) {
        return Err(Refusal::SetCookie);
    }
    let is_partial = [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
        || (status == StatusCode::RANGE_NOT_SATISFIABLE && headers.contains_key(CONTENT_RANGE));
    // Beyond 599 nobody knows what they mean: RFC 9110 §15.
    if is_partial || status.is_informational() || status.as_u16() > 599 {
        return Err(Refusal::Status);
    }
    if is_stream(headers) {
        return Err(Refusal::Stream);
    }
    if headers.len() > MOST_HEADERS {
        return Err(Refusal::Headers);
    }
    Ok(())
}

fn is_understood(status: StatusCode) -> bool {
    let known = [
        200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501,
    ];
    known.contains(&status.as_u16())
}

fn is_stream(headers: &HeaderMap) -> bool {
    let stream = b"text/event-stream";
    let is_one = |value: &HeaderValue| {
        let start = value.as_bytes().trim_ascii_start().get(..stream.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(stream))
    };
    headers.get_all(CONTENT_TYPE).iter().any(is_one)
}

/// Whether a body of this length is the whole one of a response with this status and these headers: cut short, or longer than
/// was said, it is not.
pub(crate) fn is_whole(status: StatusCode, headers: &HeaderMap, length: usize) -> bool {
    let is_it = |value: &HeaderValue| {
        let digits = value.as_bytes();
        digits.iter().all(u8::is_ascii_digit)
            && value.to_str().is_ok_and(|text| text.parse() == Ok(length))
    };
    let without_content = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT].contains(&status);
    headers.get_all(CONTENT_LENGTH).iter().all(is_it) && (!without_content || length == 0)
}

/// Has headers that tell of a length tell that of the body.
pub(crate) fn set_length(headers: &mut HeaderMap, length: usize) {
    if headers.contains_key(CONTENT_LENGTH) {
        // It replaces one, so there is room.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Whether an entry that was read is one that may have been written.
pub(crate) fn may_be_ours(entry: &Entry) -> bool {
    let headers = &entry.headers;
    // Which of the two its writer heeded is not known.
    let all = Directives::read(headers, &CACHE_CONTROL);
    let targeted = Directives::read_targeted(headers, &CDN_CACHE_CONTROL);
    let is_allowed = [Some(all), targeted]
        .iter()
        .flatten()
        .any(|said| check(said, entry.status, headers).is_ok());
    let is_foreign = |name: &HeaderName| is_passing(name) || name == CACHE_STATUS;
    is_allowed
        && !headers.keys().any(is_foreign)
        && is_whole(entry.status, headers, entry.body.len())
        && has_its_vary(entry)
}

/// Whether an entry says what the request said in the headers by which it varies.
fn has_its_vary(entry: &Entry) -> bool {
    match (vary(&entry.headers), &entry.origin) {
        (Ok(names), Origin::Ours(made_for)) => {
            let said = |name: &HeaderName| made_for.vary.iter().any(|(other, _)| other == name);
            names.iter().all(said)
        }
        (Ok(names), Origin::Foreign) => names.is_empty(),
        (Err(_), _) => false,
    }
}

/// Whether a header is of one connection, of one client or of one answer: never stored, whatever `Connection` says.
fn is_passing(name: &HeaderName) -> bool {
    let others = [
        "keep-alive",
        "proxy-authentication-info",
        "proxy-connection",
        "set-cookie2",
    ];
    match *name {
        AGE | CONNECTION | SET_COOKIE | TE | TRAILER | TRANSFER_ENCODING | UPGRADE => true,
        PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => true,
        _ => others.contains(&name.as_str()),
    }
}

/// What is stored of a response's headers: RFC 9111 §3.1. `None` if that would be more than a map can hold.
pub(crate) fn end_to_end(headers: &HeaderMap) -> Option<HeaderMap> {
    // With room for what is added to all that is stored: date, age and status.
    let mut kept = HeaderMap::try_with_capacity(headers.keys_len() + 3).ok()?;
    for (name, value) in headers {
        if !is_passing(name) {
            kept.try_append(name.clone(), value.clone()).ok()?;
        }
    }
    for line in headers.get_all(CONNECTION) {
        for name in line.as_bytes().split(|&byte| byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
                kept.remove(name);
            }
        }
    }
    Some(kept)
}
