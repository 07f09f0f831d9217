//! [`LinkState`]: how the way to a server is, as its callers meet it.

/// How the way to one server is: part of [`BackendStats`](super::BackendStats).
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
    /// How often the breaker has opened. One outage is one, however many attempts to end it fail.
    pub opened: u64,
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

impl BreakerState {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::HalfOpen];

    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl LinkState {
    /// One that has not been used.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            breaker: BreakerState::Closed,
            is_connected: false,
            failures: 0,
            reconnects: 0,
            opened: 0,
        }
    }

    pub(super) fn since(&self, previous: Option<&Self>) -> Self {
        let Some(previous) = previous else {
            return self.clone();
        };
        Self {
            failures: self.failures.saturating_sub(previous.failures),
            reconnects: self.reconnects.saturating_sub(previous.reconnects),
            opened: self.opened.saturating_sub(previous.opened),
            ..self.clone()
        }
    }
}
