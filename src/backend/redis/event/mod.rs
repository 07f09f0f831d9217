//! What a backend on Redis tells of its work.

#[cfg_attr(feature = "tracing", path = "enabled.rs")]
#[cfg_attr(not(feature = "tracing"), path = "disabled.rs")]
mod imp;

pub(super) use imp::{CallSpan, ConnectSpan, breaker_closed, breaker_opened, sent_to};

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code))]
pub(super) struct Endpoint {
    pub(super) address: String,
    /// `None` of a socket in the file system.
    pub(super) port: Option<u16>,
}

/// What a call is about.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "tracing"), allow(dead_code))]
pub(super) enum Subject<'k> {
    /// One key, if it may be told.
    Key(Option<&'k str>),
    /// So many keys.
    Keys(usize),
    Nothing,
}
