//! [`Refusal`]: why a response is not stored.

use http::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Status,
    /// An error that may pass. It says nothing about the key.
    Failure,
    /// What the response says of caching, or one of its tags, cannot be read.
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
    /// There are too many headers, or they are too long.
    Headers,
    /// There are too many tags, or one is too long.
    Tags,
    /// Bodies that wait for slow readers hold too many bytes already.
    Buffers,
    /// The client has gone away, and too much goes on without a client already.
    DetachedLimit,
    /// The client has been gone for too long.
    DetachedTimeout,
    /// The key, or a tag, was purged after the request came.
    Purged,
}

impl Refusal {
    /// The word for it in `Cache-Status` and in events.
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
            Self::Tags => "tags",
            Self::Buffers => "buffers",
            Self::DetachedLimit => "detached-limit",
            Self::DetachedTimeout => "detached-timeout",
            Self::Purged => "purged",
        }
    }

    /// Whether the next response may well be stored, because this one says nothing about the resource.
    pub(crate) fn is_passing(self, status: StatusCode) -> bool {
        let passing = [
            Self::Failure,
            Self::Buffers,
            Self::DetachedLimit,
            Self::DetachedTimeout,
            Self::Purged,
        ];
        passing.contains(&self) || status.is_server_error()
    }
}

/// Whether a status may be about the request rather than the resource. 404 and 410 are about the resource: it is missing for
/// everybody.
pub(crate) fn is_about_request(status: StatusCode) -> bool {
    status.is_client_error() && ![StatusCode::NOT_FOUND, StatusCode::GONE].contains(&status)
}

/// Whether a status asks the client to try again.
pub(crate) fn asks_to_try_again(status: StatusCode) -> bool {
    [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status)
}
