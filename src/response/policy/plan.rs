//! What may be stored, and for how long: RFC 9111 §3 and §4.2 for a shared cache, with what services get wrong in mind.
//!
//! The two modes differ in who says how long a response is fresh. What keeps a response from being stored is the same in both,
//! but that in timed mode a response can also make its life shorter.

use crate::response::entry::wire::MOST_MILLIS;
use crate::response::http::cache_status::Line;
use crate::response::http::directives::{Directives, parse_seconds};
use crate::response::policy::storable;
use crate::response::request::key::Asked;
use crate::response::settings::{Mode, Settings};
use http::header::{
    AGE, CONTENT_LENGTH, DATE, ETAG, EXPIRES, HeaderName, HeaderValue, LAST_MODIFIED, VARY,
};
use http::response::Parts;
use http::{HeaderMap, StatusCode};
use httpdate::HttpDate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// More headers than these tell no variants apart.
const MAX_VARY: usize = 16;
/// How long an entry that can be revalidated is kept after it has gone stale.
const KEEP_TO_REVALIDATE: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer lifetimes are cut off: a thousand years. Sums of some of them can be written down as milliseconds.
pub(crate) const FOREVER: Duration = Duration::from_secs(1000 * 365 * 24 * 60 * 60);

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// How a response is stored.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) born: u64,
    pub(crate) fresh: Duration,
    pub(crate) while_revalidate: Duration,
    pub(crate) if_error: Duration,
    pub(crate) authorized: bool,
    pub(crate) strict: bool,
    /// Of the request, these headers count.
    pub(crate) vary: Vec<HeaderName>,
    pub(crate) tags: Vec<Box<str>>,
    /// How long the store keeps it: longer than it is fresh if it can serve stale or be revalidated.
    pub(crate) keep: Duration,
}

/// Why a response is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Status,
    /// An error that may pass: nothing is learnt from it about the key.
    Failure,
    /// What it says of caching, or a tag of it, cannot be read.
    Malformed,
    NoStore,
    Private,
    NoCache,
    SetCookie,
    Vary,
    Authorization,
    TooLarge,
    Stream,
    NotFresh,
    /// Too many of its headers, or too long ones.
    Headers,
    /// Too much waits for readers that are slower than their handlers.
    Buffers,
    /// Nobody waits for it any longer, and too much of that kind goes on.
    DetachedLimit,
    /// Nobody has waited for it for too long.
    DetachedTimeout,
}

impl Refusal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Status | Self::Failure => "status",
            Self::Malformed => "malformed",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::NoCache => "no-cache",
            Self::SetCookie => "set-cookie",
            Self::Vary => "vary",
            Self::Authorization => "authorization",
            Self::TooLarge => "too-large",
            Self::Stream => "stream",
            Self::NotFresh => "not-fresh",
            Self::Headers => "headers",
            Self::Buffers => "buffers",
            Self::DetachedLimit => "detached-limit",
            Self::DetachedTimeout => "detached-timeout",
        }
    }

    /// Whether the next response may well be stored: this one says nothing about the resource.
    pub(crate) fn is_passing(self, status: StatusCode) -> bool {
        let passing = [
            Self::Failure,
            Self::Buffers,
            Self::DetachedLimit,
            Self::DetachedTimeout,
        ];
        passing.contains(&self) || status.is_server_error()
    }
}

/// Whether a status may be about the request rather than the resource. What is not there is there for nobody.
pub(crate) fn is_about_request(status: StatusCode) -> bool {
    status.is_client_error() && ![StatusCode::NOT_FOUND, StatusCode::GONE].contains(&status)
}

/// Tags that a handler gives its response, as an extension: [`CacheResponse::purge_tag`](crate::response::CacheResponse::purge_tag)
/// removes all responses that have one. The header `Cache-Tag`, a list separated by commas, does the same.
///
/// ```
/// use nori_cache::response::CacheTags;
/// use http::Response;
///
/// let mut response = Response::new("a product");
/// response.extensions_mut().insert(CacheTags::new(["product-42", "products"]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheTags(Vec<Box<str>>);

impl CacheTags {
    /// Tags.
    pub fn new<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self(
            tags.into_iter()
                .map(|tag| tag.into().into_boxed_str())
                .collect(),
        )
    }
}

/// Decides about a response to a GET that came at `now`, and was asked for at `asked_at`.
///
/// # Errors
/// Why it is not stored.
pub(crate) fn judge(
    settings: &Settings,
    asked: &Asked,
    response: &Parts,
    asked_at: u64,
    now: u64,
) -> Result<Plan, Refusal> {
    let headers = &response.headers;
    let (said, is_targeted) = storable::directives(settings.rules(), headers)?;
    refuse(&said, response, settings)?;
    let shared = storable::is_for_authorized(&said);
    if asked.authorized && !shared {
        return Err(Refusal::Authorization);
    }
    let age = initial_age(headers, asked_at, now);
    let written = written_lifetime(&said, headers, is_targeted, now);
    let is_expires_broken = written.as_ref().is_some_and(|written| written.is_broken);
    let written = written.map(|written| written.lifetime);
    let fresh = match &settings.mode {
        Mode::Timed { ttl, by_status } => {
            if storable::is_to_be_checked(&said, headers) {
                return Err(Refusal::NoCache);
            }
            let ttl = timed(*ttl, by_status, response.status)?;
            // Counted from now: what upstream has done with it before is upstream's.
            let until = age.saturating_add(ttl);
            written.map_or(until, |lifetime| lifetime.min(until))
        }
        Mode::Headers { heuristics, .. } => match written {
            _ if said.no_cache => Duration::ZERO,
            Some(lifetime) => lifetime,
            None if *heuristics => {
                heuristic(response, said.public, now).ok_or(Refusal::NotFresh)?
            }
            None => return Err(Refusal::NotFresh),
        },
    };
    let fresh = fresh.min(FOREVER);
    let strict =
        said.no_cache || said.must_revalidate || said.proxy_revalidate || is_expires_broken;
    let stale = |given: Option<Duration>, otherwise: Duration| match given {
        _ if strict => Duration::ZERO,
        Some(given) if settings.by_headers() => given,
        // It can only make it less.
        Some(given) => given.min(otherwise),
        // Unless told otherwise, `s-maxage` has the semantics of `proxy-revalidate`: RFC 9111 §5.2.2.10.
        None if said.s_maxage.is_some() => Duration::ZERO,
        None => otherwise,
    };
    let while_revalidate = stale(said.stale_while_revalidate, settings.while_revalidate);
    let while_revalidate = while_revalidate.min(FOREVER);
    let if_error = stale(said.stale_if_error, settings.if_error).min(FOREVER);
    let has_validator = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
    let to_revalidate = match settings.by_headers() && has_validator {
        true => KEEP_TO_REVALIDATE,
        false => Duration::ZERO,
    };
    let after = while_revalidate.max(if_error).max(to_revalidate);
    let keep = fresh.saturating_add(after).saturating_sub(age);
    if keep.is_zero() || (fresh <= age && after.is_zero()) {
        return Err(Refusal::NotFresh);
    }
    Ok(Plan {
        born: now.saturating_sub(age.as_millis() as u64),
        fresh,
        while_revalidate,
        if_error,
        authorized: shared,
        strict: strict || said.s_maxage.is_some(),
        vary: vary(headers)?,
        tags: tags(response)?,
        keep,
    })
}

fn refuse(said: &Directives, response: &Parts, settings: &Settings) -> Result<(), Refusal> {
    let headers = &response.headers;
    storable::check(settings.rules(), said, response.status, headers)?;
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > settings.max_body) {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// How long the route's owner says.
fn timed(
    ttl: Duration,
    by_status: &[(StatusCode, Duration)],
    status: StatusCode,
) -> Result<Duration, Refusal> {
    let own = by_status.iter().find(|(other, _)| *other == status);
    let without_content = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT].contains(&status);
    match own {
        Some((_, ttl)) if ttl.is_zero() => Err(Refusal::Status),
        Some((_, ttl)) => Ok(*ttl),
        None if status.is_server_error() => Err(Refusal::Failure),
        None if !status.is_success() || without_content => Err(Refusal::Status),
        None => Ok(ttl),
    }
}

/// The lifetime that headers give: RFC 9111 §4.2.1; zero where they say one that cannot be read.
pub(crate) struct Written {
    pub(crate) lifetime: Duration,
    /// Whether it is what an `Expires` says that is no date: those who write 0 or -1 there mean that it is not to be reused.
    is_broken: bool,
}

pub(crate) fn written_lifetime(
    said: &Directives,
    headers: &HeaderMap,
    targeted: bool,
    now: u64,
) -> Option<Written> {
    if let Some(lifetime) = said.s_maxage.or(said.max_age) {
        return Some(Written {
            lifetime,
            is_broken: false,
        });
    }
    if targeted || !headers.contains_key(EXPIRES) {
        return None;
    }
    let mut lines = headers.get_all(EXPIRES).iter().map(date);
    // What is no date, 0 among them, has expired; of several, the first one to come holds.
    let expires = lines.try_fold(u64::MAX, |first, date| Some(first.min(date?)));
    let from = headers.get(DATE).and_then(date).unwrap_or(now);
    let lifetime = expires.unwrap_or(0).saturating_sub(from);
    Some(Written {
        lifetime: Duration::from_millis(lifetime),
        is_broken: expires.is_none(),
    })
}

/// RFC 9111 §4.2.2: a tenth of the time since the last change, for statuses that allow it.
fn heuristic(response: &Parts, public: bool, now: u64) -> Option<Duration> {
    let allowed = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
    if !public && !allowed.contains(&response.status.as_u16()) {
        return None;
    }
    let from = response.headers.get(DATE).and_then(date).unwrap_or(now);
    let changed = response.headers.get(LAST_MODIFIED).and_then(date)?;
    Some(Duration::from_millis(from.saturating_sub(changed) / 10))
}

/// RFC 9111 §4.2.3.
fn initial_age(headers: &HeaderMap, asked_at: u64, now: u64) -> Duration {
    let apparent = headers.get(DATE).and_then(date).map_or(0, |date| {
        let behind = now.saturating_sub(date);
        // Dates are whole seconds.
        if behind < 1000 { 0 } else { behind }
    });
    let told = headers.get(AGE).and_then(|value| {
        let first = value.as_bytes().split(|&byte| byte == b',').next()?;
        parse_seconds(first.trim_ascii())
    });
    // A handler that says nothing of age has just made the response; one that does has got it from elsewhere.
    let corrected = told.map_or(0, |age| {
        let on_its_way = now.saturating_sub(asked_at);
        age.saturating_mul(1000).saturating_add(on_its_way)
    });
    Duration::from_millis(apparent.max(corrected))
}

/// A date in milliseconds since 1970.
pub(crate) fn date(value: &HeaderValue) -> Option<u64> {
    let time = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Milliseconds since 1970 as a date; `None` for those from the year 10,000 on, which have none.
pub(crate) fn to_date(millis: u64) -> Option<HeaderValue> {
    let writable = millis < MOST_MILLIS;
    let since = writable.then(|| Duration::from_millis(millis))?;
    let time = SystemTime::UNIX_EPOCH.checked_add(since)?;
    Some(Line::of(HttpDate::from(time)).into_value())
}

/// The headers that `Vary` names: RFC 9111 §4.1.
pub(crate) fn vary(headers: &HeaderMap) -> Result<Vec<HeaderName>, Refusal> {
    let mut names = Vec::new();
    for line in headers.get_all(VARY) {
        for member in line.as_bytes().split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            // Neither `*` nor what is no name can be compared.
            let name = HeaderName::from_bytes(member).map_err(|_| Refusal::Vary)?;
            if name.as_str().contains('*') {
                return Err(Refusal::Vary);
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    match names.len() {
        0..=MAX_VARY => Ok(names),
        _ => Err(Refusal::Vary),
    }
}

/// The tags of a response: all of them, as a purge of one that was left out would miss it.
fn tags(response: &Parts) -> Result<Vec<Box<str>>, Refusal> {
    let mut tags = match response.extensions.get::<CacheTags>() {
        Some(CacheTags(tags)) => tags.clone(),
        None => Vec::new(),
    };
    for line in response.headers.get_all(CACHE_TAG) {
        for tag in line.as_bytes().split(|&byte| byte == b',') {
            let tag = str::from_utf8(tag.trim_ascii()).map_err(|_| Refusal::Malformed)?;
            if !tag.is_empty() {
                tags.push(tag.into());
            }
        }
    }
    Ok(tags)
}
