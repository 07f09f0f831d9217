//! [`Plan`]: how a response is stored, if it may be.

use super::lifetime::Lifetime;
use super::refusal::Refusal;
use super::settings::PolicySettings;
use super::variants::selecting_fields;
use super::{storable, tags};
use crate::response::clock::UnixMillis;
use crate::response::http::content;
use crate::response::http::freshness::initial_age;
use http::header::{ETAG, HeaderName, LAST_MODIFIED};
use http::response::Parts;
use std::time::Duration;

/// How long a response that can be revalidated is kept after it has gone stale.
const KEEP_TO_REVALIDATE: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) lifetime: Lifetime,
    /// Whether callers with `Authorization` may have it.
    pub(crate) for_authorized: bool,
    /// The fields by which the response varies.
    pub(crate) vary: Vec<HeaderName>,
    pub(crate) tags: Vec<Box<str>>,
    /// How long the store keeps it: longer than it is fresh if it can be served stale or be revalidated.
    pub(crate) keep: Duration,
}

impl Plan {
    /// Decides about a response to a GET that comes now, and was asked for at `asked_at`.
    ///
    /// # Errors
    /// Why it is not stored.
    pub(crate) fn of(
        settings: &PolicySettings,
        is_authorized: bool,
        response: &Parts,
        asked_at: UnixMillis,
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        let headers = &response.headers;
        // 1. Refuse what no layer of this kind may store, and what is too large for this one.
        let (said, is_targeted) = storable::directives(settings.rules(), headers)?;
        storable::check(settings.rules(), &said, response.status, headers)?;
        if content::said_length(headers).is_some_and(|length| length > settings.max_body) {
            return Err(Refusal::TooLarge);
        }
        // 2. Refuse what is for this caller only.
        let for_authorized = storable::is_for_authorized(&said);
        if is_authorized && !for_authorized {
            return Err(Refusal::Authorization);
        }
        // 3. Find out how long it may be served, and so how long it is worth keeping.
        let age = initial_age(headers, asked_at, now);
        let lifetime = Lifetime::of(settings, (&said, is_targeted), response, age, now)?;
        let has_validator = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
        let to_revalidate = if settings.by_headers() && has_validator {
            KEEP_TO_REVALIDATE
        } else {
            Duration::ZERO
        };
        let windows = lifetime.while_revalidate.max(lifetime.if_error);
        let after = windows.max(to_revalidate);
        let keep = lifetime.fresh.saturating_add(after).saturating_sub(age);
        if keep.is_zero() || (lifetime.fresh <= age && after.is_zero()) {
            return Err(Refusal::NotFresh);
        }
        // 4. Read what it is stored under.
        Ok(Self {
            lifetime,
            for_authorized,
            vary: selecting_fields(headers)?,
            tags: tags::of(response)?,
            keep,
        })
    }
}
