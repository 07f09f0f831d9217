//! [`Outcome`]: what became of a request, and of the response that a handler made for it. Counters, events and `Cache-Status` all
//! come from it.

use super::http::cache_status::{CacheStatus, ForwardReason};
use super::policy::refusal::Refusal;
use super::request::bypass::Bypass;
use super::stats::{Counter, Counters};
use http::{HeaderValue, StatusCode};

/// What this cache calls itself.
const NAME: &str = "nori-cache";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered from a fresh stored response.
    Hit,
    /// Answered from a stale one.
    Stale(Staleness),
    /// Answered with what another request's handler made.
    Collapsed,
    /// Answered 504, as the request's `only-if-cached` asks.
    GatewayTimeout,
    /// Answered by the handler. Its response is to be stored.
    Miss,
    /// Answered by the handler. Its response is not to be stored, whatever it is.
    Passed(PassReason),
    /// The handler said that the stored response is still good.
    Revalidated,
    /// Answered by the handler, whose response may not be stored.
    Uncacheable(Refusal),
    /// Not answered: the handler failed.
    Failed(Failure),
    /// The cache has nothing to do with the request.
    Bypassed(Bypass),
    /// The handler's response was stored.
    Stored,
    /// The handler's response was not stored, because it may not be or because it did not come in time.
    NotStored(Refusal),
}

/// Why a stale response was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Staleness {
    /// It is being revalidated.
    Revalidating,
    /// The client accepts it.
    MaxStale,
    /// The handler failed.
    IfError,
}

/// Why the answer to a request is not to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassReason {
    Head,
    Range,
    NoStore,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Error,
    /// Only events tell of it.
    #[cfg_attr(not(feature = "tracing"), allow(dead_code))]
    Panic,
}

/// Why a request was not answered from the cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forward {
    pub(crate) reason: ForwardReason,
    pub(crate) is_backend_down: bool,
}

impl Outcome {
    /// The word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale(Staleness::Revalidating) => "stale",
            Self::Stale(Staleness::MaxStale) => "max-stale",
            Self::Stale(Staleness::IfError) => "stale-if-error",
            Self::Collapsed => "collapsed",
            Self::GatewayTimeout => "only-if-cached",
            Self::Miss | Self::Passed(_) => "miss",
            Self::Revalidated => "revalidated",
            Self::Uncacheable(_) => "uncacheable",
            Self::Failed(_) => "failed",
            Self::Bypassed(_) => "bypass",
            Self::Stored => "stored",
            Self::NotStored(_) => "not stored",
        }
    }

    /// What more there is to say; empty if nothing.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Passed(PassReason::Head) => "head",
            Self::Passed(PassReason::Range) => "range",
            Self::Passed(PassReason::NoStore) => "no-store",
            Self::Uncacheable(refusal) | Self::NotStored(refusal) => refusal.name(),
            Self::Failed(Failure::Error) => "error",
            Self::Failed(Failure::Panic) => "panic",
            Self::Bypassed(bypass) => bypass.name(),
            _ => "",
        }
    }

    /// Counts it, if it is counted.
    #[inline]
    pub(crate) fn count(self, counters: &Counters) {
        if let Some(counter) = self.counter(counters) {
            counter.add();
        }
    }

    #[inline]
    fn counter(self, counters: &Counters) -> Option<&Counter> {
        Some(match self {
            Self::Hit => &counters.hits,
            Self::Stale(_) => &counters.stale,
            Self::Collapsed => &counters.collapsed,
            Self::Miss | Self::Passed(_) => &counters.misses,
            Self::Revalidated => &counters.revalidated,
            Self::Stored => &counters.stored,
            Self::NotStored(Refusal::Purged) => return None,
            Self::NotStored(Refusal::Buffers) => &counters.unbuffered,
            Self::NotStored(Refusal::DetachedLimit) => &counters.undetached,
            Self::NotStored(Refusal::DetachedTimeout) => &counters.detached_timeouts,
            Self::NotStored(_) => &counters.refused,
            Self::Bypassed(Bypass::Method) => return None,
            Self::Bypassed(_) => &counters.bypassed,
            // The response that may not be stored is counted as that; a call that fails was counted as a miss.
            Self::Uncacheable(_) | Self::Failed(_) | Self::GatewayTimeout => return None,
        })
    }

    /// `Cache-Status` of an answer from a stored response, which is fresh for this many seconds more, if that is known.
    #[inline]
    pub(crate) fn hit_status(self, ttl: Option<i64>) -> HeaderValue {
        let mut status = CacheStatus::hit(NAME);
        if let Some(ttl) = ttl {
            status.ttl(ttl);
        }
        if let Self::Stale(_) = self {
            status.detail(&[self.name()]);
        }
        status.into_value()
    }

    /// `Cache-Status` of any other answer. `response` is what the handler has said, and whether that will be stored.
    pub(crate) fn forward_status(
        self,
        forward: Forward,
        response: Option<(StatusCode, bool)>,
    ) -> HeaderValue {
        let mut status = CacheStatus::forwarded(NAME, forward.reason);
        if let Some((code, will_be_stored)) = response {
            status.forward_status(code);
            if will_be_stored && !forward.is_backend_down {
                status.stored();
            }
        }
        if self == Self::Collapsed {
            status.collapsed();
        }
        let detail = match self {
            // The other parameters say all.
            Self::Bypassed(Bypass::Method | Bypass::Hook) => None,
            Self::Uncacheable(_) | Self::Bypassed(_) => Some(self.detail()),
            _ => None,
        };
        match (forward.is_backend_down, detail) {
            (true, Some(detail)) => status.detail(&["backend-down", detail]),
            (true, None) => status.detail(&["backend-down"]),
            (false, Some(detail)) => status.detail(&[detail]),
            (false, None) => (),
        }
        status.into_value()
    }
}

impl Forward {
    pub(crate) fn new(reason: ForwardReason) -> Self {
        Self {
            reason,
            is_backend_down: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_one_event_one_counter_and_one_cache_status() {
        let ok = Some((StatusCode::OK, true));
        let unstored = Some((StatusCode::OK, false));
        for (outcome, response, event, counter, status) in [
            (
                Outcome::Collapsed,
                None,
                ("collapsed", ""),
                Some("collapsed"),
                "fwd=uri-miss; collapsed",
            ),
            (
                Outcome::GatewayTimeout,
                None,
                ("only-if-cached", ""),
                None,
                "fwd=uri-miss",
            ),
            (
                Outcome::Miss,
                ok,
                ("miss", ""),
                Some("misses"),
                "fwd=uri-miss; fwd-status=200; stored",
            ),
            (
                Outcome::Passed(PassReason::Range),
                unstored,
                ("miss", "range"),
                Some("misses"),
                "fwd=uri-miss; fwd-status=200",
            ),
            (
                Outcome::Uncacheable(Refusal::Private),
                unstored,
                ("uncacheable", "private"),
                None,
                "fwd=uri-miss; fwd-status=200; detail=private",
            ),
            (
                Outcome::NotStored(Refusal::Private),
                None,
                ("not stored", "private"),
                Some("refused"),
                "fwd=uri-miss",
            ),
            (
                Outcome::NotStored(Refusal::Buffers),
                None,
                ("not stored", "buffers"),
                Some("unbuffered"),
                "fwd=uri-miss",
            ),
            (
                Outcome::Bypassed(Bypass::Host),
                None,
                ("bypass", "host"),
                Some("bypassed"),
                "fwd=uri-miss; detail=host",
            ),
            (
                Outcome::Bypassed(Bypass::Hook),
                None,
                ("bypass", "hook"),
                Some("bypassed"),
                "fwd=uri-miss",
            ),
        ] {
            assert_eq!((outcome.name(), outcome.detail()), event);
            let counters = Counters::default();
            outcome.count(&counters);
            let counted = format!("{:?}", counters.counts());
            let want = counter.map_or("[]".to_owned(), |name| format!("[\"{name}\"]"));
            assert_eq!(counted, want, "{outcome:?}");
            let forward = Forward::new(ForwardReason::UriMiss);
            let value = outcome.forward_status(forward, response);
            assert_eq!(value, format!("nori-cache; {status}"), "{outcome:?}");
        }
    }

    #[test]
    fn a_backend_that_is_down_is_said_and_stores_nothing() {
        let forward = Forward {
            reason: ForwardReason::UriMiss,
            is_backend_down: true,
        };
        let came = Some((StatusCode::OK, true));
        let miss = Outcome::Miss.forward_status(forward, came);
        let want = "nori-cache; fwd=uri-miss; fwd-status=200; detail=backend-down";
        assert_eq!(miss, want);
        let private = Outcome::Uncacheable(Refusal::Private).forward_status(forward, None);
        let want = "nori-cache; fwd=uri-miss; detail=\"backend-down private\"";
        assert_eq!(private, want);
    }

    #[test]
    fn what_comes_from_the_store_says_for_how_long_and_why_it_is_stale() {
        assert_eq!(Outcome::Hit.hit_status(None), "nori-cache; hit");
        assert_eq!(Outcome::Hit.hit_status(Some(9)), "nori-cache; hit; ttl=9");
        let stale = Outcome::Stale(Staleness::IfError).hit_status(Some(-9));
        assert_eq!(stale, "nori-cache; hit; ttl=-9; detail=stale-if-error");
    }
}
