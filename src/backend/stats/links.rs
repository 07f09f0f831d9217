//! [`LinkStats`]: how the way to a server is.

/// How the way to one server is, and what has become of it so far: part of [`BackendStats`](super::BackendStats).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkStats {
    /// What errors call the server: its address; under sentinels the name of the service. No secret is in it.
    pub server: String,
    /// How things stand right now.
    pub state: LinkState,
    /// Connections that were made.
    pub connections: u64,
    /// Attempts to make one that failed.
    pub failures: u64,
    /// How often the breaker has opened, so that calls fail at once. One outage is one, however long it lasts.
    pub opened: u64,
}

/// How the way to a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkState {
    /// Not connected: nobody has called yet, or the connection broke and nobody has called since.
    Idle,
    /// Being connected.
    Connecting,
    /// Connected.
    Up,
    /// The breaker is open: calls fail at once, but for those that try again.
    Down,
    /// The backend was closed.
    Closed,
}

impl LinkState {
    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Up => "up",
            Self::Down => "down",
            Self::Closed => "closed",
        }
    }
}

impl LinkStats {
    /// One that has not been used.
    pub fn new(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            state: LinkState::Idle,
            connections: 0,
            failures: 0,
            opened: 0,
        }
    }

    /// Connections that took the place of another.
    pub fn reconnects(&self) -> u64 {
        self.connections.saturating_sub(1)
    }

    pub(super) fn since(&self, previous: Option<&Self>) -> Self {
        let Some(previous) = previous else {
            return self.clone();
        };
        Self {
            server: self.server.clone(),
            state: self.state,
            connections: self.connections.saturating_sub(previous.connections),
            failures: self.failures.saturating_sub(previous.failures),
            opened: self.opened.saturating_sub(previous.opened),
        }
    }
}
