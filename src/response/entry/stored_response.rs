//! [`Entry`]: a stored response, and what is known about it.

use crate::response::request::key::Asked;
use crate::response::request::vary::normalized;
use crate::response::settings::Rules;
use bytes::Bytes;
use http::header::{AGE, CACHE_STATUS, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// Responses with more lines of headers are not stored: far fewer than a map holds, so that there is room for those of answers.
pub(crate) const MOST_HEADERS: usize = 1024;

/// A stored response: backends in memory hold it as it is, others as JSON (see `wire`). Times are milliseconds since 1970;
/// lifetimes are counted from `born`.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) status: StatusCode,
    /// End-to-end headers only. Has room for `Age` and `Cache-Status`, which each answer sets anew.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// When the response was made, as far as its `Age` and `Date` tell: RFC 9111 §4.2.3.
    pub(crate) born: u64,
    /// The last purge that was written down when its handler was started: later ones may cover it.
    pub(crate) seen: u64,
    /// How long it is fresh, then may be served while it is revalidated, and if that fails.
    pub(crate) fresh: Duration,
    pub(crate) while_revalidate: Duration,
    pub(crate) if_error: Duration,
    /// Whether requests with `Authorization` may have it: RFC 9111 §3.5.
    pub(crate) authorized: bool,
    /// Whether clients may not have it stale even if they say that they would: RFC 9111 §4.2.4.
    pub(crate) strict: bool,
    pub(crate) origin: Origin,
    pub(crate) tags: Vec<Box<str>>,
}

/// What an entry was made for.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// By the Python original, which does not say. It goes by what the route's owner says.
    Foreign,
    Ours(MadeFor),
}

/// What the request was that an entry answers.
#[derive(Debug, Clone)]
pub(crate) struct MadeFor {
    /// The rules by which it may be stored.
    pub(crate) rules: Rules,
    /// Behind the scheme, where the request names one.
    pub(crate) host: Box<str>,
    pub(crate) target: Box<str>,
    pub(crate) own: Option<Box<str>>,
    /// The request's headers that count, and what they said.
    pub(crate) vary: Vec<(HeaderName, Option<Box<str>>)>,
    /// Of the variants of a key that belong together; 0 for the entry under the key itself.
    pub(crate) family: u64,
}

impl MadeFor {
    pub(crate) fn new(asked: &Asked, names: &[HeaderName], headers: &HeaderMap) -> Self {
        Self {
            rules: asked.rules,
            host: asked.host().into(),
            target: asked.target().into(),
            own: asked.own().map(Box::from),
            vary: names
                .iter()
                .map(|name| (name.clone(), normalized(asked, headers, name)))
                .collect(),
            family: 0,
        }
    }

    /// Whether a request is for the same resource, by the same rules, whatever its other headers.
    pub(crate) fn is_resource(&self, asked: &Asked) -> bool {
        self.rules == asked.rules
            && *self.host == *asked.host()
            && asked.has_target(&self.target)
            && self.own.as_deref() == asked.own()
    }

    fn matches(&self, asked: &Asked, headers: &HeaderMap) -> bool {
        self.is_resource(asked)
            && self
                .vary
                .iter()
                .all(|(name, said)| same(asked, headers, name, said.as_deref()))
    }
}

/// Whether a request's header says what another's said.
fn same(asked: &Asked, headers: &HeaderMap, name: &HeaderName, said: Option<&str>) -> bool {
    match (headers.get(name), said) {
        (None, None) => true,
        (Some(_), Some(said)) => normalized(asked, headers, name).as_deref() == Some(said),
        _ => false,
    }
}

impl Entry {
    /// Whether this may be the answer to a request.
    pub(crate) fn matches(&self, asked: &Asked, headers: &HeaderMap) -> bool {
        if asked.authorized && !self.authorized {
            return false;
        }
        match &self.origin {
            Origin::Foreign => asked.rules == Rules::Timed && asked.is_unambiguous(),
            Origin::Ours(made_for) => made_for.matches(asked, headers),
        }
    }

    pub(crate) fn rules(&self) -> Rules {
        match &self.origin {
            Origin::Foreign => Rules::Timed,
            Origin::Ours(made_for) => made_for.rules,
        }
    }

    pub(crate) fn family(&self) -> u64 {
        match &self.origin {
            Origin::Foreign => 0,
            Origin::Ours(made_for) => made_for.family,
        }
    }

    pub(crate) fn age(&self, now: u64) -> Duration {
        match self.origin {
            // Not known: the store's time to live is what holds.
            Origin::Foreign => Duration::ZERO,
            Origin::Ours(_) => Duration::from_millis(now.saturating_sub(self.born)),
        }
    }

    pub(crate) fn is_fresh(&self, now: u64) -> bool {
        self.age(now) < self.fresh
    }

    /// Whether it may be served while another is fetched.
    pub(crate) fn serves_while_revalidating(&self, now: u64) -> bool {
        self.age(now) < self.fresh.saturating_add(self.while_revalidate)
    }

    /// Whether it may be served in the place of an error.
    pub(crate) fn serves_if_error(&self, now: u64) -> bool {
        self.age(now) < self.fresh.saturating_add(self.if_error)
    }

    /// How the original names the type: without the character set that it adds to text itself.
    pub(crate) fn media_type(&self) -> String {
        let Some(text) = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
        else {
            return "application/octet-stream".to_owned();
        };
        let bare = text.split(';').next().unwrap_or("").trim();
        let rest = text[text.find(';').unwrap_or(text.len())..].to_ascii_lowercase();
        match bare.starts_with("text/") && rest.replace(' ', "") == ";charset=utf-8" {
            true => bare.to_owned(),
            false => text.to_owned(),
        }
    }

    /// Makes room for the headers that every answer has, so that a hit only overwrites them. `None` if there are too many
    /// already.
    pub(crate) fn make_room(headers: &mut HeaderMap) -> Option<()> {
        if headers.len() > MOST_HEADERS {
            return None;
        }
        let placeholder = HeaderValue::from_static("0");
        headers.try_insert(AGE, placeholder.clone()).ok()?;
        if !headers.contains_key(CACHE_STATUS) {
            headers.try_insert(CACHE_STATUS, placeholder).ok()?;
        }
        Some(())
    }
}

/// Which headers tell the variants of a key apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signpost {
    pub(crate) family: u64,
    pub(crate) names: Vec<HeaderName>,
    /// The signpost stays as long as any variant.
    pub(crate) until: u64,
}
