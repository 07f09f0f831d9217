//! [`RedisCacheBackendBuilder`]: settings for a backend on Redis.

use super::RedisCacheBackend;
use super::address;
use super::gate::Gate;
use super::servers::Servers;
use super::tls;
use crate::backend::contract::DEFAULT_TTL;
use crate::backend::flights::{Flights, PATIENCE};
use crate::backend::stats::CallCounters;
use crate::backend::{Codec, redact};
use crate::error::Error;
use crate::time::Ttl;
use std::fmt;
use std::time::Duration;

/// More than this counts as this: deadlines have to fit into the clock.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// Settings for a [`RedisCacheBackend`]; see [`RedisCacheBackend::builder`].
#[derive(Clone)]
#[must_use]
pub struct RedisCacheBackendBuilder {
    url: String,
    prefix: String,
    default_ttl: Ttl,
    patience: Duration,
    timeout: Duration,
    codec: Codec,
    is_strict: bool,
    trace_keys: bool,
}

impl Default for RedisCacheBackendBuilder {
    fn default() -> Self {
        Self {
            url: "redis://localhost:6379".to_owned(),
            prefix: "cache:".to_owned(),
            default_ttl: DEFAULT_TTL,
            patience: PATIENCE,
            timeout: Duration::from_secs(1),
            codec: Codec::json(),
            is_strict: false,
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

    /// How long a command may take at most, connecting and trying again included; a second by default. Not zero; more than a
    /// day counts as a day.
    ///
    /// A call that is many commands (a flush, or many-calls on more than a thousand keys) has it for each round trip.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
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
        let timeout = self.timeout.min(LONGEST_TIMEOUT);
        let (target, secrets) = address::parse(&self.url)
            .map_err(|malformed| Error::invalid_config(url, malformed.given, malformed.allowed))?;
        if target.is_encrypted() {
            tls::prepare(url)?;
        }
        Ok(RedisCacheBackend {
            servers: Servers::new(target, timeout, secrets),
            redacted_url: redact::url(&self.url),
            codec: self.codec.for_prefix(&self.prefix),
            is_strict: self.is_strict,
            prefix: self.prefix.into_boxed_str(),
            default_ttl: self.default_ttl,
            timeout,
            gate: Gate::default(),
            flights: Flights::with_patience(self.patience).tracing_keys(self.trace_keys),
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
            .field("timeout", &self.timeout)
            .field("codec", &self.codec)
            .field("is_strict", &self.is_strict)
            .field("trace_keys", &self.trace_keys)
            .finish()
    }
}
