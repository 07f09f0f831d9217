//! What a layer is told about storing.

use http::StatusCode;
use std::time::Duration;

#[derive(Debug, Clone)]
pub(crate) struct PolicySettings {
    pub(crate) mode: Mode,
    /// The largest body that is stored, in bytes.
    pub(crate) max_body: u64,
    /// How long a stale response is served while it is revalidated, unless it says otherwise.
    pub(crate) while_revalidate: Duration,
    /// How long a stale response is served in the place of an error, unless it says otherwise.
    pub(crate) if_error: Duration,
}

/// What says how long a response is fresh.
#[derive(Debug, Clone)]
pub(crate) enum Mode {
    /// The route's owner.
    Timed {
        ttl: Duration,
        by_status: Vec<(StatusCode, Duration)>,
    },
    /// The response's headers.
    Headers { cdn: bool, heuristics: bool },
}

/// Who decides whether a response may be stored. What one kind of layer stores another kind may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rules {
    Timed,
    Headers,
    /// As `Headers`, but `CDN-Cache-Control` comes before `Cache-Control`.
    Cdn,
}

impl Rules {
    const ALL: [Self; 3] = [Self::Timed, Self::Headers, Self::Cdn];

    /// The name that stored responses give.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Timed => "timed",
            Self::Headers => "headers",
            Self::Cdn => "cdn",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rules| rules.name() == name)
    }
}

impl PolicySettings {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            max_body: 2 * 1024 * 1024,
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
        }
    }

    #[inline]
    pub(crate) fn rules(&self) -> Rules {
        match self.mode {
            Mode::Timed { .. } => Rules::Timed,
            Mode::Headers { cdn: false, .. } => Rules::Headers,
            Mode::Headers { cdn: true, .. } => Rules::Cdn,
        }
    }

    #[inline]
    pub(crate) fn by_headers(&self) -> bool {
        matches!(self.mode, Mode::Headers { .. })
    }
}
