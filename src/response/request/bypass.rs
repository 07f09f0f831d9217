//! [`Bypass`]: why a request is passed through as if there were no cache.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// Neither GET nor HEAD.
    Method,
    /// The user's hook says so.
    Hook,
    /// It is on a condition about the resource's present state.
    Precondition,
    /// It carries a body, or may.
    Content,
    Upgrade,
    /// Its `Connection` names fields that a proxy takes off.
    Connection,
    /// It names more than one authority, or one that cannot be read.
    Host,
    KeyTooLong,
    /// A router may have shortened the path, and the whole one is not known.
    OriginalUriUnknown,
    /// Whether a parameter counts depends on who reads it.
    Query,
    /// The path does not begin with a slash.
    Path,
    /// The same layer further out is waiting for it.
    Within,
}

impl Bypass {
    /// The word for it in `Cache-Status` and in events.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Hook => "hook",
            Self::Precondition => "precondition",
            Self::Content => "content",
            Self::Upgrade => "upgrade",
            Self::Connection => "connection",
            Self::Host => "host",
            Self::KeyTooLong => "key-too-long",
            Self::OriginalUriUnknown => "original-uri-unknown",
            Self::Query => "query",
            Self::Path => "path",
            Self::Within => "within",
        }
    }
}
