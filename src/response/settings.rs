//! What a layer is told, and the clock it goes by.

use crate::backend::CacheBackend;
use crate::response::request::query::Query;
use crate::time::{Clock, wall_millis_soon};
use http::header::HeaderName;
use http::request::Parts;
use http::{Extensions, StatusCode, Uri};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Says something about a request.
pub(crate) type Asks<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) backend: Option<Arc<dyn CacheBackend>>,
    pub(crate) key_prefix: Box<str>,
    pub(crate) key_fn: Option<Asks<String>>,
    pub(crate) vary_on: Vec<HeaderName>,
    pub(crate) host_in_key: bool,
    pub(crate) sort_languages: bool,
    pub(crate) query: Query,
    /// Where the whole path is, if the user says so.
    pub(crate) original_uri: Option<fn(&Extensions) -> Option<&Uri>>,
    /// Whether the key tells callers apart, so that requests with `Authorization` may share entries.
    pub(crate) authorized_by_key: bool,
    pub(crate) bypass: Option<Asks<bool>>,
    pub(crate) max_body: u64,
    pub(crate) while_revalidate: Duration,
    pub(crate) if_error: Duration,
    pub(crate) patience: Duration,
    pub(crate) max_detached: usize,
    pub(crate) detached_timeout: Duration,
    /// If the user says so.
    pub(crate) max_buffered: Option<u64>,
    pub(crate) clock: WallClock,
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

/// Whose word it is that a response may be stored, and for how long. What one kind of layer stores another may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rules {
    Timed,
    Headers,
    /// The headers, with one for us before the one for all.
    Cdn,
}

impl Rules {
    const ALL: [Self; 3] = [Self::Timed, Self::Headers, Self::Cdn];

    /// As entries say it.
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

impl Settings {
    pub(crate) fn new(mode: Mode) -> Self {
        Self {
            mode,
            backend: None,
            key_prefix: "view".into(),
            key_fn: None,
            vary_on: Vec::new(),
            host_in_key: false,
            sort_languages: false,
            query: Query::default(),
            original_uri: None,
            authorized_by_key: false,
            bypass: None,
            max_body: 2 * 1024 * 1024,
            while_revalidate: Duration::ZERO,
            if_error: Duration::ZERO,
            patience: Duration::from_secs(10),
            max_detached: 1024,
            detached_timeout: Duration::from_secs(60),
            max_buffered: None,
            clock: WallClock::System,
        }
    }

    /// How many bytes of bodies on their way all responses may hold together.
    pub(crate) fn max_buffered(&self) -> u64 {
        // Enough for sixteen of the largest whose readers do not read: each is held for the store and for its reader.
        self.max_buffered
            .unwrap_or(self.max_body.saturating_mul(32))
    }

    pub(crate) fn rules(&self) -> Rules {
        match self.mode {
            Mode::Timed { .. } => Rules::Timed,
            Mode::Headers { cdn: false, .. } => Rules::Headers,
            Mode::Headers { cdn: true, .. } => Rules::Cdn,
        }
    }

    pub(crate) fn by_headers(&self) -> bool {
        matches!(self.mode, Mode::Headers { .. })
    }
}

/// The time of day in milliseconds since 1970.
#[derive(Debug, Clone)]
pub(crate) enum WallClock {
    System,
    /// A clock of ours, and the time of day at which it read 0.
    Other(u64, Clock),
}

impl WallClock {
    pub(crate) fn starting_now(clock: Clock) -> Self {
        Self::Other(system_millis().saturating_sub(clock.now()), clock)
    }

    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::System => system_millis(),
            Self::Other(origin, clock) => origin.saturating_add(clock.now()),
        }
    }

    /// See [`Core::soon`](crate::response::fetch::state::Core::soon).
    #[inline]
    pub(crate) fn soon(&self) -> u64 {
        match self {
            Self::System => wall_millis_soon().unwrap_or_else(system_millis),
            Self::Other(..) => self.now(),
        }
    }
}

fn system_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("mode", &self.mode)
            .field("key_prefix", &self.key_prefix)
            .field("key_fn", &self.key_fn.is_some())
            .field("vary_on", &self.vary_on)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}
