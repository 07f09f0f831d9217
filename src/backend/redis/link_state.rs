//! [`LinkState`]: how the way to a server is, as its callers meet it.

/// How the way to one server is; from [`RedisCacheBackend::links`](super::RedisCacheBackend::links).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkState {
    /// The server: host and port, the path of a socket, or the name of the primary that sentinels know. No credentials.
    pub address: String,
    /// How calls are treated now.
    pub breaker: BreakerState,
    /// Whether there is a connection that is not known to be broken.
    pub is_connected: bool,
    /// Attempts to connect that failed, and connections that were given up because the server was silent, since the backend was
    /// made.
    pub failures: u64,
    /// Connections that took the place of an earlier one.
    pub reconnects: u64,
}

/// How a [link](LinkState)'s breaker treats calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// All calls go to the server, or wait for a connection to it.
    Closed,
    /// All calls fail at once: the server was not there, a moment ago, or the backend has been closed.
    Open,
    /// One call tries whether the server is back, or the next that comes will. All others fail at once.
    HalfOpen,
}
