//! [`Lifetime`]: how long a response may be served.

use super::refusal::Refusal;
use super::settings::{Mode, PolicySettings};
use super::storable::{self, LONGEST_LIFETIME};
use crate::response::clock::UnixMillis;
use crate::response::http::content;
use crate::response::http::directives::Directives;
use crate::response::http::freshness::{explicit_lifetime, heuristic_lifetime};
use http::StatusCode;
use http::response::Parts;
use std::time::Duration;

/// All durations are counted from when the response was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// When the response was made, as far as its `Age` and `Date` tell: RFC 9111 §4.2.3.
    pub(crate) born: UnixMillis,
    pub(crate) fresh: Duration,
    /// How long after that it may be served while it is revalidated.
    pub(crate) while_revalidate: Duration,
    /// How long after that it may be served in the place of an error.
    pub(crate) if_error: Duration,
    /// Whether clients may not have it stale even if they say that they would take it: RFC 9111 §4.2.4.
    pub(crate) strict: bool,
}

impl Lifetime {
    /// The lifetime of a response that says this of caching, and is `age` old now.
    ///
    /// # Errors
    /// If it does not have one.
    pub(crate) fn of(
        settings: &PolicySettings,
        (said, is_targeted): (&Directives, bool),
        response: &Parts,
        age: Duration,
        now: UnixMillis,
    ) -> Result<Self, Refusal> {
        // 1. How long is it fresh?
        let headers = &response.headers;
        let explicit = explicit_lifetime(said, headers, is_targeted, now);
        let is_expires_broken = explicit.is_some_and(|explicit| explicit.is_broken_expires);
        let explicit = explicit.map(|explicit| explicit.lifetime);
        let fresh = match &settings.mode {
            Mode::Timed { ttl, by_status } => {
                if storable::must_be_validated(said, headers) {
                    return Err(Refusal::NoCache);
                }
                let ttl = owners_ttl(*ttl, by_status, response.status)?;
                // The owner's time counts from now: what happened upstream is not the owner's concern.
                let until = age.saturating_add(ttl);
                explicit.map_or(until, |lifetime| lifetime.min(until))
            }
            Mode::Headers { heuristics, .. } => match explicit {
                _ if said.no_cache => Duration::ZERO,
                Some(lifetime) => lifetime,
                None if *heuristics => {
                    heuristic_lifetime(response.status, headers, said.public, now)
                        .ok_or(Refusal::NotFresh)?
                }
                None => return Err(Refusal::NotFresh),
            },
        };
        // 2. How long may it be served after that?
        let forbids_stale =
            said.no_cache || said.must_revalidate || said.proxy_revalidate || is_expires_broken;
        let window = |given: Option<Duration>, otherwise: Duration| {
            let window = match given {
                _ if forbids_stale => Duration::ZERO,
                Some(given) if settings.by_headers() => given,
                // In timed mode a response can only shorten it.
                Some(given) => given.min(otherwise),
                // Unless the response says otherwise, `s-maxage` has the semantics of `proxy-revalidate`: RFC 9111 §5.2.2.10.
                None if said.s_maxage.is_some() => Duration::ZERO,
                None => otherwise,
            };
            window.min(LONGEST_LIFETIME)
        };
        Ok(Self {
            born: now.minus(age),
            fresh: fresh.min(LONGEST_LIFETIME),
            while_revalidate: window(said.stale_while_revalidate, settings.while_revalidate),
            if_error: window(said.stale_if_error, settings.if_error),
            strict: forbids_stale || said.s_maxage.is_some(),
        })
    }
}

/// The time that the route's owner gives responses with this status.
fn owners_ttl(
    ttl: Duration,
    by_status: &[(StatusCode, Duration)],
    status: StatusCode,
) -> Result<Duration, Refusal> {
    let own = by_status.iter().find(|(other, _)| *other == status);
    match own {
        Some((_, ttl)) if ttl.is_zero() => Err(Refusal::Status),
        Some((_, ttl)) => Ok(*ttl),
        None if status.is_server_error() => Err(Refusal::Failure),
        None if !status.is_success() || content::is_without(status) => Err(Refusal::Status),
        None => Ok(ttl),
    }
}
