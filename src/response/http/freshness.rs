//! How old a response is, and for how long its head says that it is fresh: RFC 9111 §4.2.

use super::date;
use super::directives::{Directives, parse_seconds};
use crate::response::clock::UnixMillis;
use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// A freshness lifetime that a response's head gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExplicitLifetime {
    /// Zero if it cannot be read.
    pub(crate) lifetime: Duration,
    /// Whether it comes from an `Expires` that is no date. Who writes 0 or -1 there means that the response is not to be reused.
    pub(crate) is_broken_expires: bool,
}

/// The freshness lifetime that directives or `Expires` give: RFC 9111 §4.2.1. Directives that come from a targeted field stand in
/// the place of `Expires` too.
pub(crate) fn explicit_lifetime(
    said: &Directives,
    headers: &HeaderMap,
    is_targeted: bool,
    now: UnixMillis,
) -> Option<ExplicitLifetime> {
    if let Some(lifetime) = said.s_maxage.or(said.max_age) {
        return Some(ExplicitLifetime {
            lifetime,
            is_broken_expires: false,
        });
    }
    if is_targeted || !headers.contains_key(EXPIRES) {
        return None;
    }
    // Of several dates the earliest holds. What is no date, 0 among them, has expired.
    let mut lines = headers.get_all(EXPIRES).iter().map(date::parse);
    let earliest = lines.try_fold(UnixMillis::MAX, |first, date| Some(first.min(date?)));
    let lifetime = earliest.map_or(Duration::ZERO, |expires| {
        expires.since(made_at(headers, now))
    });
    Some(ExplicitLifetime {
        lifetime,
        is_broken_expires: earliest.is_none(),
    })
}

/// A tenth of the time since the last change, for statuses that allow it: RFC 9111 §4.2.2.
pub(crate) fn heuristic_lifetime(
    status: StatusCode,
    headers: &HeaderMap,
    is_public: bool,
    now: UnixMillis,
) -> Option<Duration> {
    let allowed = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
    if !is_public && !allowed.contains(&status.as_u16()) {
        return None;
    }
    let changed = headers.get(LAST_MODIFIED).and_then(date::parse)?;
    let unchanged = made_at(headers, now).since(changed).as_millis() / 10;
    Some(Duration::from_millis(unchanged as u64))
}

/// How old a response is that comes now and was asked for at `asked_at`: RFC 9111 §4.2.3.
pub(crate) fn initial_age(headers: &HeaderMap, asked_at: UnixMillis, now: UnixMillis) -> Duration {
    let behind = now.since(made_at(headers, now));
    // Dates are whole seconds.
    let apparent = if behind < Duration::from_secs(1) {
        Duration::ZERO
    } else {
        behind
    };
    let told = headers.get(AGE).and_then(|value| {
        let first = value.as_bytes().split(|&byte| byte == b',').next()?;
        parse_seconds(first.trim_ascii())
    });
    // A handler that says nothing of age has just made the response. One that does has got it from elsewhere.
    let corrected = told.map_or(Duration::ZERO, |age| {
        Duration::from_secs(age).saturating_add(now.since(asked_at))
    });
    apparent.max(corrected)
}

/// What `Date` says; now, if it says nothing that can be read.
fn made_at(headers: &HeaderMap, now: UnixMillis) -> UnixMillis {
    headers.get(DATE).and_then(date::parse).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const NOW: UnixMillis = UnixMillis::new(784_111_777_000);
    const NOW_TEXT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const HOUR_LATER: &str = "Sun, 06 Nov 1994 09:49:37 GMT";
    const HOUR_BEFORE: &str = "Sun, 06 Nov 1994 07:49:37 GMT";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn rfc9111_4_2_1_the_first_rule_that_applies_holds() {
        let seconds = Duration::from_secs;
        let max_age = Directives {
            max_age: Some(seconds(60)),
            ..Directives::default()
        };
        let both = Directives {
            s_maxage: Some(seconds(5)),
            ..max_age.clone()
        };
        let none = Directives::default();
        let expires = [("expires", HOUR_LATER), ("date", NOW_TEXT)];
        for (said, lines, is_targeted, want) in [
            (&both, &expires[..], false, Some((seconds(5), false))),
            (&max_age, &expires, false, Some((seconds(60), false))),
            (&none, &expires, false, Some((seconds(3600), false))),
            (&none, &expires, true, None),
            (&none, &[], false, None),
            (
                &none,
                &[("expires", "0")],
                false,
                Some((Duration::ZERO, true)),
            ),
            (
                &none,
                &[("expires", HOUR_LATER), ("expires", "x")],
                false,
                Some((Duration::ZERO, true)),
            ),
            (
                &none,
                &[("expires", HOUR_BEFORE)],
                false,
                Some((Duration::ZERO, false)),
            ),
        ] {
            let got = explicit_lifetime(said, &headers(lines), is_targeted, NOW);
            let got = got.map(|it| (it.lifetime, it.is_broken_expires));
            assert_eq!(got, want, "{said:?} {lines:?}");
        }
    }

    #[test]
    fn rfc9111_4_2_2_heuristics_need_a_status_or_public() {
        let lines = headers(&[("last-modified", HOUR_BEFORE)]);
        let tenth = Some(Duration::from_secs(360));
        for (status, is_public, want) in [
            (StatusCode::OK, false, tenth),
            (StatusCode::FOUND, false, None),
            (StatusCode::FOUND, true, tenth),
        ] {
            assert_eq!(heuristic_lifetime(status, &lines, is_public, NOW), want);
        }
        let ok = StatusCode::OK;
        assert_eq!(heuristic_lifetime(ok, &HeaderMap::new(), true, NOW), None);
    }

    #[test]
    fn rfc9111_4_2_3_the_larger_age_holds() {
        let asked_at = NOW.minus(Duration::from_secs(2));
        for (lines, want) in [
            (&[][..], 0),
            (&[("date", NOW_TEXT)], 0),
            (&[("date", HOUR_BEFORE)], 3600),
            (&[("date", HOUR_LATER)], 0),
            (&[("age", "10")], 12),
            (&[("age", "10, 99")], 12),
            (&[("age", "x")], 0),
            (&[("age", "10"), ("date", HOUR_BEFORE)], 3600),
        ] {
            let age = initial_age(&headers(lines), asked_at, NOW);
            assert_eq!(age, Duration::from_secs(want), "{lines:?}");
        }
    }
}
