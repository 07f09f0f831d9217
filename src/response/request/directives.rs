//! [`RequestDirectives`]: what a client's `Cache-Control` accepts.

use crate::response::http::directives::Directives;
use http::HeaderMap;
use std::time::Duration;

/// The request's directives, where the layer goes by headers; none in timed mode, where clients cannot make the handler run.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestDirectives {
    pub(crate) no_store: bool,
    pub(crate) only_if_cached: bool,
    no_cache: bool,
    max_age: Option<Duration>,
    min_fresh: Option<Duration>,
    max_stale: Option<Duration>,
}

impl RequestDirectives {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let said = Directives::of_request(headers);
        Self {
            no_store: said.no_store,
            only_if_cached: said.only_if_cached,
            no_cache: said.no_cache,
            max_age: said.max_age,
            min_fresh: said.min_fresh,
            max_stale: said.max_stale,
        }
    }

    /// Whether the client takes a response of this age that is fresh for `fresh` in all: RFC 9111 §5.2.1.
    #[inline]
    pub(crate) fn accept(&self, age: Duration, fresh: Duration) -> bool {
        let is_young = self
            .max_age
            .is_none_or(|most| age <= most && !most.is_zero());
        let fresh_for = fresh.saturating_sub(age);
        !self.no_cache && is_young && self.min_fresh.is_none_or(|least| fresh_for >= least)
    }

    /// Whether the client takes a response that is stale by as much: RFC 9111 §5.2.1.2.
    pub(crate) fn accept_stale(&self, age: Duration, fresh: Duration) -> bool {
        self.max_stale
            .is_some_and(|most| age <= fresh.saturating_add(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::CACHE_CONTROL;

    #[test]
    fn rfc9111_5_2_1_what_a_client_accepts() {
        let seconds = Duration::from_secs;
        // Of a response that is fresh for a minute.
        for (directives, age, accepts, accepts_stale) in [
            ("", 59, true, false),
            ("no-cache", 0, false, false),
            ("max-age=0", 0, false, false),
            ("max-age=10", 10, true, false),
            ("max-age=10", 11, false, false),
            ("min-fresh=10", 50, true, false),
            ("min-fresh=10", 51, false, false),
            ("max-stale=10", 70, true, true),
            ("max-stale=10", 71, true, false),
            ("max-stale", 9999, true, true),
            ("max-stale, max-age=x", 0, false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, directives.parse().unwrap());
            let said = RequestDirectives::of(&headers);
            let age = seconds(age);
            assert_eq!(said.accept(age, seconds(60)), accepts, "{directives}");
            let stale = said.accept_stale(age, seconds(60));
            assert_eq!(stale, accepts_stale, "{directives}");
        }
    }
}
