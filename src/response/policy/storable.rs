//! The rules for what may lie in the store. They are the same for what is written and for what is read, and depend on a layer's
//! kind only, which stored responses name. [`plan`](super::plan) adds those that depend on a layer's settings.

use super::refusal::Refusal;
use super::settings::Rules;
use crate::response::http::directives::{Directives, seems_to_forbid};
use http::header::{
    CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, PRAGMA, SET_COOKIE,
};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// The most header lines a stored response may have: far fewer than a map holds, so that answers have room for theirs.
pub(crate) const MAX_HEADERS: usize = 1024;
/// The most bytes that the values of these may have, all together.
pub(crate) const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Longer lifetimes are cut off: a thousand years. The sum of some of them can still be written as milliseconds.
pub(crate) const LONGEST_LIFETIME: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// What a response says of caching to those who go by these rules, and whether it says so in a targeted field.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn directives(rules: Rules, headers: &HeaderMap) -> Result<(Directives, bool), Refusal> {
    if rules == Rules::Cdn {
        if let Some(targeted) = Directives::read_targeted(headers, &CDN_CACHE_CONTROL) {
            return Ok((targeted, true));
        }
        // A broken field is ignored, unless that may be against its meaning.
        let mut lines = headers.get_all(CDN_CACHE_CONTROL).iter();
        if lines.any(|line| seems_to_forbid(line.as_bytes())) {
            return Err(Refusal::Malformed);
        }
    }
    Ok((Directives::read(headers, &CACHE_CONTROL), false))
}

/// Whether a response that says this may go to callers with `Authorization`: RFC 9111 §3.5.
pub(crate) fn is_for_authorized(said: &Directives) -> bool {
    said.public || said.s_maxage.is_some() || said.must_revalidate
}

/// Whether a response is not to be served without asking the handler. A timed layer does not store it.
pub(crate) fn must_be_validated(said: &Directives, headers: &HeaderMap) -> bool {
    // RFC 9111 §5.4 gives `Pragma` no meaning in responses, but who sends it means something by it.
    let pragma = Directives::read(headers, &PRAGMA);
    said.no_cache || (!said.present && (pragma.no_cache || pragma.malformed))
}

/// Whether a response that says this of caching may be stored by these rules.
///
/// # Errors
/// Why not.
pub(crate) fn check(
    rules: Rules,
    said: &Directives,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<(), Refusal> {
    if said.malformed {
        return Err(Refusal::Malformed);
    }
    let understood = !said.must_understand || is_understood(status);
    // RFC 9111 §5.2.2.3: caches that understand the status ignore `no-store` beside `must-understand`.
    if !understood || (said.no_store && !said.must_understand) {
        return Err(Refusal::NoStore);
    }
    if said.private {
        return Err(Refusal::Private);
    }
    if headers.contains_key(SET_COOKIE) {
        return Err(Refusal::SetCookie);
    }
    // In other responses the field means nothing (RFC 9110 §14.4), but where the handler does not say for how long it may be stored,
    // it may have meant something by it.
    let range_counts = rules == Rules::Timed || status == StatusCode::RANGE_NOT_SATISFIABLE;
    let is_partial = [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
        || (range_counts && headers.contains_key(CONTENT_RANGE));
    // RFC 9110 §15 defines no status beyond 599.
    if is_partial || status.is_informational() || status.as_u16() > 599 {
        return Err(Refusal::Status);
    }
    if is_stream(headers) {
        return Err(Refusal::Stream);
    }
    if headers.len() > MAX_HEADERS {
        return Err(Refusal::Headers);
    }
    Ok(())
}

/// Whether the values of headers are short enough, all together.
pub(crate) fn are_short(headers: &HeaderMap) -> bool {
    headers.values().map(HeaderValue::len).sum::<usize>() <= MAX_HEADER_BYTES
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
