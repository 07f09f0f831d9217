//! `Cache-Status`: RFC 9211.

use super::text::ShortText;
use http::{HeaderValue, StatusCode};

/// Why a cache has sent a request on: RFC 9211 §2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ForwardReason {
    /// There was nothing stored for the target.
    UriMiss,
    /// What was stored is another variant.
    VaryMiss,
    /// What was stored is stale.
    Stale,
    /// The request's directives asked for it.
    Request,
    /// The method's meaning asks for it.
    Method,
    /// The cache was told not to handle this request.
    Bypass,
}

impl ForwardReason {
    fn token(self) -> &'static str {
        match self {
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Stale => "stale",
            Self::Request => "request",
            Self::Method => "method",
            Self::Bypass => "bypass",
        }
    }
}

/// What one cache says of an answer, in the making: parameters come in the order in which they are added.
pub(crate) struct CacheStatus(ShortText);

impl CacheStatus {
    /// The cache of this name has answered.
    pub(crate) fn hit(cache: &str) -> Self {
        let mut text = ShortText::new();
        text.push(cache);
        text.push("; hit");
        Self(text)
    }

    /// The cache of this name has sent the request on.
    pub(crate) fn forwarded(cache: &str, reason: ForwardReason) -> Self {
        let mut text = ShortText::new();
        text.push(cache);
        text.push("; fwd=");
        text.push(reason.token());
        Self(text)
    }

    /// For how many seconds more the response is fresh; negative if it is stale.
    pub(crate) fn ttl(&mut self, seconds: i64) {
        self.0.push(if seconds < 0 { "; ttl=-" } else { "; ttl=" });
        self.0.push_number(seconds.unsigned_abs());
    }

    /// The status that came back.
    pub(crate) fn forward_status(&mut self, status: StatusCode) {
        self.0.push("; fwd-status=");
        self.0.push_number(u64::from(status.as_u16()));
    }

    /// The response will be stored.
    pub(crate) fn stored(&mut self) {
        self.0.push("; stored");
    }

    /// The request was answered together with another one.
    pub(crate) fn collapsed(&mut self) {
        self.0.push("; collapsed");
    }

    /// Words of the cache's own: tokens of RFC 9110 §5.6.2.
    pub(crate) fn detail(&mut self, words: &[&str]) {
        let (first, rest) = match words {
            [] => return,
            [first, rest @ ..] => (first, rest),
        };
        let quote = if rest.is_empty() { "" } else { "\"" };
        self.0.push("; detail=");
        self.0.push(quote);
        self.0.push(first);
        for word in rest {
            self.0.push(" ");
            self.0.push(word);
        }
        self.0.push(quote);
    }

    pub(crate) fn into_value(self) -> HeaderValue {
        self.0.into_value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9211_2_members() {
        let status = |change: fn(&mut CacheStatus)| {
            let mut status = CacheStatus::hit("c");
            change(&mut status);
            status.into_value()
        };
        assert_eq!(status(|_| ()), "c; hit");
        assert_eq!(status(|it| it.ttl(5)), "c; hit; ttl=5");
        assert_eq!(status(|it| it.ttl(-5)), "c; hit; ttl=-5");
        assert_eq!(status(|it| it.detail(&[])), "c; hit");
        assert_eq!(status(|it| it.detail(&["a"])), "c; hit; detail=a");
        let two = status(|it| it.detail(&["a", "b"]));
        assert_eq!(two, "c; hit; detail=\"a b\"");
        let mut status = CacheStatus::forwarded("c", ForwardReason::VaryMiss);
        status.forward_status(StatusCode::OK);
        status.stored();
        status.collapsed();
        let want = "c; fwd=vary-miss; fwd-status=200; stored; collapsed";
        assert_eq!(status.into_value(), want);
    }
}
