//! What may lie in the store, whoever has put it there: the same rules for what is written and for what is read. They are
//! those that depend on a layer's kind only, which entries name; `policy` adds those of its settings.
//!
//! A stored entry that breaks one was not written by us, so nothing else in it is believed either: it counts as missing, and
//! is replaced.

use crate::response::entry::own_memory;
use crate::response::entry::stored_response::{Entry, MOST_HEADERS, Origin};
use crate::response::http::directives::{Directives, seems_to_forbid};
use crate::response::policy::plan::{FOREVER, Refusal, vary, written_lifetime};
use crate::response::settings::Rules;
use http::header::{
    AGE, CACHE_CONTROL, CACHE_STATUS, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    HeaderName, HeaderValue, PRAGMA, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

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
        // One that is broken is ignored, but not if that may be against its meaning.
        let mut lines = headers.get_all(CDN_CACHE_CONTROL).iter();
        if lines.any(|line| seems_to_forbid(line.as_bytes())) {
            return Err(Refusal::Malformed);
        }
    }
    Ok((Directives::read(headers, &CACHE_CONTROL), false))
}

/// Whether what says this may go to callers with `Authorization`: RFC 9111 §3.5.
pub(crate) fn is_for_authorized(said: &Directives) -> bool {
    said.public || said.s_maxage.is_some() || said.must_revalidate
}

/// Whether a response is not to be served without asking the handler: then a timed layer does not store it.
pub(crate) fn is_to_be_checked(said: &Directives, headers: &HeaderMap) -> bool {
    // RFC 9111 §5.4 gives `Pragma` no meaning here, but those who send it mean something by it.
    let pragma = Directives::read(headers, &PRAGMA);
    said.no_cache || (!said.present && (pragma.no_cache || pragma.malformed))
}

/// Whether a response may be stored, by these rules, that says this of caching.
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
    // Elsewhere it means nothing (RFC 9110 §14.4), but a handler that does not say how long may have meant something by it.
    let range_counts = rules == Rules::Timed || status == StatusCode::RANGE_NOT_SATISFIABLE;
    let is_partial = [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
        || (range_counts && headers.contains_key(CONTENT_RANGE));
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
    let Ok((said, is_targeted)) = directives(entry.rules(), headers) else {
        return false;
    };
    let is_foreign = |name: &HeaderName| is_passing(name) || name == CACHE_STATUS;
    check(entry.rules(), &said, entry.status, headers).is_ok()
        && own_memory::are_short(headers)
        && !headers.keys().any(is_foreign)
        && is_whole(entry.status, headers, entry.body.len())
        && (!entry.authorized || is_for_authorized(&said))
        && lives_as_long_as_said(entry, &said, is_targeted)
        && has_its_vary(entry)
}

/// Whether an entry is kept for no longer than its headers allow.
fn lives_as_long_as_said(entry: &Entry, said: &Directives, is_targeted: bool) -> bool {
    let headers = &entry.headers;
    let Origin::Ours(made_for) = &entry.origin else {
        return !is_to_be_checked(said, headers);
    };
    let written = written_lifetime(said, headers, is_targeted, entry.born);
    let most = match made_for.rules {
        Rules::Timed if is_to_be_checked(said, headers) => return false,
        Rules::Headers | Rules::Cdn if said.no_cache => Duration::ZERO,
        _ => written.map_or(FOREVER, |written| written.lifetime.min(FOREVER)),
    };
    entry.fresh <= most && entry.while_revalidate <= FOREVER && entry.if_error <= FOREVER
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
