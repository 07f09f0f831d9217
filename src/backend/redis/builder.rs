//! [`RedisCacheBackendBuilder`]: settings for a backend on Redis.

use super::RedisCacheBackend;
use super::address;
use super::gate::Gate;
use super::servers::{BreakerSettings, Servers};
use super::tls;
use super::tracking::Tracking;
use crate::backend::contract::DEFAULT_TTL;
use crate::backend::flights::{Flights, LoadLimits, PATIENCE};
use crate::backend::load::LoadOptions;
use crate::backend::stats::CallCounters;
use crate::backend::{Codec, redact};
use crate::error::Error;
use crate::time::Ttl;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// More than this counts as this: deadlines have to fit into the clock.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// A breaker that stays open for longer is a mistake.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Settings for a [`RedisCacheBackend`]; see [`RedisCacheBackend::builder`].
#[derive(Clone)]
#[must_use]
pub struct RedisCacheBackendBuilder {
    url: String,
    prefix: String,
    default_ttl: Ttl,
    patience: Duration,
    loads: LoadLimits,
    timeout: Duration,
    breaker: BreakerSettings,
    codec: Codec,
    is_strict: bool,
    load_options: LoadOptions,
    trace_keys: bool,
}

impl Default for RedisCacheBackendBuilder {
    fn default() -> Self {
        Self {
            url: "redis://localhost:6379".to_owned(),
            prefix: "cache:".to_owned(),
            default_ttl: DEFAULT_TTL,
            patience: PATIENCE,
            loads: LoadLimits::default(),
            timeout: Duration::from_secs(1),
            breaker: BreakerSettings::default(),
            codec: Codec::json(),
            is_strict: false,
            load_options: LoadOptions::new(),
            trace_keys: false,
        }
    }
}

impl RedisCacheBackendBuilder {
    /// Where Redis is; `redis://localhost:6379` by default. [`RedisCacheBackend`] lists the forms.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// What every key on the server starts with; `cache:` by default.
    ///
    /// Not empty, and not the beginning of another program's: a flush removes every key that starts so.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The time to live of entries that are stored without one; 300 s by default. Not zero.
    pub fn default_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.default_ttl = ttl.into();
        self
    }

    /// How long a call waits at most for another caller's load or update of the same key; a minute by default. Not zero; more
    /// than a day counts as a day. Then it fails with [`is_timeout`](crate::Error::is_timeout).
    ///
    /// For loaders and closures that hang, and for those that wait for themselves in ways that cannot be seen from here.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many loaders of this backend run at a time, in this process; without a limit by default. At least 1. For a source that
    /// takes no more.
    ///
    /// Other loads wait for that in the order they came, as long as the [`patience`](Self::patience) lasts, and if there are
    /// [too many of them](Self::max_waiting_loads), fail with [`is_overloaded`](crate::Error::is_overloaded). A load of many
    /// keys counts once, who waits for another's load does not count, nor does a load inside a loader of this backend, which waits for
    /// nobody here.
    pub fn max_loads(mut self, max_loads: usize) -> Self {
        self.loads.max_loads = Some(max_loads);
        self
    }

    /// How many loads wait at most where there is a limit of [`max_loads`](Self::max_loads); 1,024 by default. With none at all, a load
    /// that cannot run at once fails.
    pub fn max_waiting_loads(mut self, max_waiting_loads: usize) -> Self {
        self.loads.max_waiting = max_waiting_loads;
        self
    }

    /// How long a command may take at most, connecting and trying again included; a second by default. Not zero; more than a
    /// day counts as a day.
    ///
    /// A call that is many commands (a flush, or many-calls on more than a thousand keys) has it for each round trip.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// After how many failed attempts to connect, one after the other, calls fail at once for a while, one attempt for all who wait
    /// at a time; 1 by default. At least 1. A server that takes a connection and then is silent has that effect at once.
    ///
    /// Higher where attempts fail that the next one would not, as behind a balancer with a dead server: each failure before that
    /// one is an error of those who waited for it, and may take them the whole [`timeout`](Self::timeout).
    pub fn breaker_threshold(mut self, failures: u32) -> Self {
        self.breaker.threshold = failures;
        self
    }

    /// For how long calls fail at once, at most, before one of them tries whether the server is back; 250 ms by default. Not zero, and
    /// an hour at most. The first pause is a tenth of it; each that follows is twice as long as the one before, up to this. Each is
    /// shortened by up to a half, at random.
    ///
    /// [`links`](RedisCacheBackend::links) tells how each server's breaker is.
    pub fn breaker_pause(mut self, longest: Duration) -> Self {
        self.breaker.longest_pause = longest;
        self
    }

    /// How values are stored; plain JSON by default, as the Python original has it. Encrypted values belong to their key and
    /// prefix.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Typed reads fail at [what cannot be decoded](crate::CacheBackendExt#what-cannot-be-decoded); they miss by default.
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// What loads do where they are not told otherwise.
    pub fn load_options(mut self, options: LoadOptions) -> Self {
        self.load_options = options;
        self
    }

    /// Whether the spans of calls and loads name their keys (`nori_cache.key`); they do not by default, because keys may be personal. There are
    /// spans with the feature `tracing`.
    pub fn trace_keys(mut self, trace_keys: bool) -> Self {
        self.trace_keys = trace_keys;
        self
    }

    /// Builds the backend. Connects nowhere: the first command does, or
    /// [`verify`](crate::CacheBackend::verify).
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if a setting has a value that is not allowed. Of the URL the error shows no more than what
    /// is certainly no secret.
    ///
    /// ```
    /// use nori_cache::RedisCacheBackend;
    ///
    /// let wrong = RedisCacheBackend::builder().url("redis://ana:hunter2@host:port");
    /// let error = wrong.build().unwrap_err();
    /// assert!(error.is_invalid_config());
    /// assert!(!error.to_string().contains("hunter2"));
    /// ```
    pub fn build(self) -> Result<RedisCacheBackend, Error> {
        self.build_named("url")
    }

    /// As [`build`](Self::build); `url` is what errors call the URL.
    pub(crate) fn build_named(self, url: &'static str) -> Result<RedisCacheBackend, Error> {
        self.build_tracked(url, None)
    }

    pub(in crate::backend) fn key_prefix(&self) -> &str {
        &self.prefix
    }

    /// As [`build_named`](Self::build_named), with connections by which the servers tell of writes.
    pub(in crate::backend) fn build_tracked(
        self,
        url: &'static str,
        tracking: Option<Arc<Tracking>>,
    ) -> Result<RedisCacheBackend, Error> {
        let not_zero = "longer than zero";
        if self.prefix.is_empty() {
            let allowed = "at least one character: a flush removes every key that starts so";
            return Err(Error::invalid_config("prefix", "empty", allowed));
        }
        if self.timeout.is_zero() {
            return Err(Error::invalid_config("timeout", "0", not_zero));
        }
        if self.patience.is_zero() {
            return Err(Error::invalid_config("patience", "0", not_zero));
        }
        if self.default_ttl == Ttl::After(Duration::ZERO) {
            return Err(Error::invalid_config("default_ttl", "0", not_zero));
        }
        self.load_options.check()?;
        if self.breaker.threshold == 0 {
            return Err(Error::invalid_config("breaker_threshold", 0, "at least 1"));
        }
        if self.breaker.longest_pause.is_zero() || self.breaker.longest_pause > LONGEST_PAUSE {
            let allowed = "longer than zero, and an hour at most";
            let given = format!("{:?}", self.breaker.longest_pause);
            return Err(Error::invalid_config("breaker_pause", given, allowed));
        }
        let flights = Flights::with_patience(self.patience).tracing_keys(self.trace_keys);
        let flights = self.loads.apply(flights, "max_loads")?;
        let timeout = self.timeout.min(LONGEST_TIMEOUT);
        let (target, secrets) = address::parse(&self.url)
            .map_err(|malformed| Error::invalid_config(url, malformed.given, malformed.allowed))?;
        if target.is_encrypted() {
            tls::prepare(url)?;
        }
        Ok(RedisCacheBackend {
            servers: Arc::new(Servers::new(
                target,
                timeout,
                secrets,
                self.breaker,
                tracking,
            )),
            redacted_url: redact::url(&self.url),
            codec: self.codec.for_prefix(&self.prefix),
            is_strict: self.is_strict,
            load_options: self.load_options,
            prefix: self.prefix.into_boxed_str(),
            default_ttl: self.default_ttl,
            timeout,
            gate: Gate::default(),
            flights,
            calls: CallCounters::default(),
        })
    }
}

impl fmt::Debug for RedisCacheBackendBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCacheBackendBuilder")
            .field("url", &redact::url(&self.url))
            .field("prefix", &self.prefix)
            .field("default_ttl", &self.default_ttl)
            .field("patience", &self.patience)
            .field("loads", &self.loads)
            .field("timeout", &self.timeout)
            .field("breaker", &self.breaker)
            .field("codec", &self.codec)
            .field("is_strict", &self.is_strict)
            .field("load_options", &self.load_options)
            .field("trace_keys", &self.trace_keys)
            .finish()
    }
}
