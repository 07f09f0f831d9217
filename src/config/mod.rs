//! [`Config`]: environment and `.env` → settings → backend.
//!
//! Nothing falls back silently: a variable that is set and cannot be used is an error, which names it, and says what it is and
//! what it may be. Of a URL, an error shows neither user nor password.

mod breaker;
mod env;
mod near;
mod redis;
mod responses;

use crate::backend::{
    CacheBackend, Codec, Coherence, LoadLimits, LoadOptions, MAX_BYTES, MemoryCacheBackend,
    PATIENCE, redact,
};
use crate::error::Error;
use crate::time::Ttl;
use breaker::Breaker;
use env::Variables;
use near::Near;
use responses::Responses;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which store a [`Config`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// [`MemoryCacheBackend`]: this process's memory.
    Memory,
    /// A Redis server, Sentinel or Cluster; needs the feature `redis`.
    Redis,
    /// `TieredCacheBackend`: the same with copies in this process's memory; needs the feature `redis`.
    Tiered,
}

/// Settings for the backend behind [`cache_get`](crate::cache_get) and its siblings.
///
/// | variable | is | if unset |
/// |---|---|---|
/// | `CACHE_BACKEND` | `memory`, `redis`, or `tiered`, which is Redis with copies in memory | `memory` |
/// | `CACHE_MAX_KEYS` | keys held in memory at most | 10000 |
/// | `CACHE_MAX_BYTES` | bytes that values in memory take at most, all together | 268435456 |
/// | `CACHE_COUNTERS` | counters in memory that have a place which nothing else takes ([`counters`](Self::counters)) | half of `CACHE_MAX_KEYS` |
/// | `CACHE_RESPONSES_MAX_KEYS`, `CACHE_RESPONSES_MAX_BYTES` | bounds that cached responses in memory have for themselves ([`responses`](Self::responses)); with one of them set, the other is that of all else | responses lie among all else |
/// | `CACHE_DEFAULT_TTL` | seconds that entries live which are stored without a time to live | 300 |
/// | `CACHE_PATIENCE_MS` | milliseconds that a call waits at most for another's load or update of its key | 60000 |
/// | `CACHE_TTL_JITTER` | the share, from 0 to 1, by which loads shorten times to live at random ([`jitter`](LoadOptions::jitter)) | 0 |
/// | `CACHE_FAIL_SAFE` | seconds that loads keep what has expired, for when the source fails ([`fail_safe`](LoadOptions::fail_safe)) | not kept |
/// | `CACHE_SOFT_TIMEOUT_MS` | milliseconds that loads wait where something has been kept ([`soft_timeout`](LoadOptions::soft_timeout)) | without limit |
/// | `CACHE_HARD_TIMEOUT_MS` | milliseconds that loads may take ([`hard_timeout`](LoadOptions::hard_timeout)) | without limit |
/// | `CACHE_EAGER_REFRESH` | the share, above 0 and below 1, of an entry's life after which it is loaded anew ([`eager_refresh`](LoadOptions::eager_refresh)) | not before it expires |
/// | `CACHE_MAX_LOADS` | loaders that run at a time, in this process | without a limit |
/// | `CACHE_MAX_WAITING_LOADS` | loads that wait at most where there is such a limit | 1024 |
/// | `CACHE_PREFIX` | what every key on Redis starts with | `cache:` |
/// | `REDIS_URL` | where Redis is | `redis://localhost:6379` |
/// | `REDIS_TIMEOUT_MS` | milliseconds that no command on Redis takes longer than | 1000 |
/// | `REDIS_BREAKER_THRESHOLD` | failures to connect, one after the other, after which calls fail at once | 1 |
/// | `REDIS_BREAKER_PAUSE_MS` | milliseconds that calls fail at once at most, until one tries again | 250 |
/// | `CACHE_NEAR_MAX_KEYS` | copies held in memory at most | 10000 |
/// | `CACHE_NEAR_MAX_BYTES` | bytes that copies in memory take at most, all together | 268435456 |
/// | `CACHE_NEAR_TTL` | seconds that a copy is used at most | 60; 10 with `backplane`, 1 with `near-ttl` |
/// | `CACHE_NEAR_STALENESS_MS` | milliseconds that a copy may be behind when a server says nothing | 2000 |
/// | `CACHE_NEAR_COHERENCE` | how a process learns of others' writes: `tracking`, `broadcast`, `backplane`, or not at all, `near-ttl` | `tracking` |
/// | `CACHE_NEAR_MAX_REPAIRS` | keys that could not be written, which are remembered and removed when the server is back | 1000 |
///
/// ```
/// use nori_cache::{BackendKind, Config};
/// use std::time::Duration;
///
/// let config = Config::default().max_keys(50_000).default_ttl(Duration::from_secs(60));
/// let backend = config.build()?;
///
/// let variables = |name: &str| (name == "CACHE_MAX_KEYS").then(|| "many".to_owned());
/// let error = Config::from_variables(variables).unwrap_err();
/// assert_eq!(error.to_string(), r#"CACHE_MAX_KEYS is "many"; it must be a whole number, at least 1"#);
/// # Ok::<(), nori_cache::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Config {
    backend: BackendKind,
    max_keys: usize,
    max_bytes: u64,
    counters: Option<usize>,
    responses: Responses,
    default_ttl: Ttl,
    patience: Duration,
    loads: LoadLimits,
    prefix: String,
    redis_url: String,
    redis_timeout: Duration,
    breaker: Breaker,
    near: Near,
    codec: Option<Codec>,
    is_strict: bool,
    load_options: LoadOptions,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: BackendKind::Memory,
            max_keys: 10_000,
            max_bytes: MAX_BYTES,
            counters: None,
            responses: Responses::default(),
            default_ttl: Ttl::After(Duration::from_secs(300)),
            patience: PATIENCE,
            loads: LoadLimits::default(),
            prefix: "cache:".to_owned(),
            redis_url: "redis://localhost:6379".to_owned(),
            redis_timeout: Duration::from_millis(1000),
            breaker: Breaker::default(),
            near: Near::default(),
            codec: None,
            is_strict: false,
            load_options: LoadOptions::new(),
        }
    }
}

impl Config {
    /// What the environment says: that of the process, and for what it lacks **a file `.env` in the working directory**.
    /// Leaves the process's environment as it is.
    ///
    /// Directories above are not searched. Whoever can write that file chooses the Redis that values are read from and sent
    /// to. A program that is started in other people's directories asks
    /// [`from_process_env`](Self::from_process_env), which reads no file.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if a variable has a value that is not allowed, or `.env` cannot be read.
    pub fn from_env() -> Result<Self, Error> {
        let file = env::dot_env()?;
        Self::read(&Variables::from_env(&file)).map_err(|error| env::blamed(error, &file))
    }

    /// As [`from_env`](Self::from_env), but reads no file: the process's environment is all there is, whatever directory it was
    /// started in.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if a variable has a value that is not allowed.
    ///
    /// ```
    /// use nori_cache::{Config, set_backend};
    ///
    /// set_backend(Config::from_process_env()?.build()?);
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn from_process_env() -> Result<Self, Error> {
        Self::read(&Variables::from_env(&HashMap::new()))
    }

    /// As [`from_env`](Self::from_env), from variables that come from elsewhere.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if a variable has a value that is not allowed.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        Self::read(&Variables::from_fn(variable))
    }

    fn read(variables: &Variables<'_>) -> Result<Self, Error> {
        let mut config = Self::default();
        if let Some(backend) = variables.get("CACHE_BACKEND")? {
            config.backend = match backend.to_ascii_lowercase().as_str() {
                "memory" => BackendKind::Memory,
                "redis" => BackendKind::Redis,
                "tiered" => BackendKind::Tiered,
                _ => {
                    let given = redact::value(&backend);
                    let allowed = "memory, redis or tiered";
                    return Err(Error::invalid_config("CACHE_BACKEND", given, allowed));
                }
            };
        }
        if let Some(max_keys) = variables.number("CACHE_MAX_KEYS", usize::MAX as u64)? {
            config.max_keys = usize::try_from(max_keys).unwrap_or(usize::MAX);
        }
        if let Some(max_bytes) = variables.number("CACHE_MAX_BYTES", u64::MAX)? {
            config.max_bytes = max_bytes;
        }
        config.counters = variables.count("CACHE_COUNTERS")?;
        config.responses = Responses::read(variables)?;
        if let Some(seconds) = variables.number("CACHE_DEFAULT_TTL", u64::MAX / 1000)? {
            config.default_ttl = Ttl::After(Duration::from_secs(seconds));
        }
        if let Some(millis) = variables.number("CACHE_PATIENCE_MS", u64::MAX)? {
            config.patience = Duration::from_millis(millis);
        }
        config.load_options = load_options(variables)?;
        if let Some(max_loads) = variables.number("CACHE_MAX_LOADS", usize::MAX as u64)? {
            config.loads.max_loads = usize::try_from(max_loads).ok();
        }
        if let Some(max_waiting) = variables.count("CACHE_MAX_WAITING_LOADS")? {
            config.loads.max_waiting = max_waiting;
        }
        if let Some(prefix) = variables.get("CACHE_PREFIX")? {
            config.prefix = prefix;
        }
        if let Some(url) = variables.get("REDIS_URL")? {
            config.redis_url = url;
        }
        if let Some(millis) = variables.number("REDIS_TIMEOUT_MS", u64::MAX)? {
            config.redis_timeout = Duration::from_millis(millis);
        }
        config.breaker = Breaker::read(variables)?;
        config.near = Near::read(variables)?;
        config.check()?;
        Ok(config)
    }

    /// Which store to use; [`BackendKind::Memory`] by default.
    pub fn backend(mut self, backend: BackendKind) -> Self {
        self.backend = backend;
        self
    }

    /// How many keys are held in memory at most; 10,000 by default. At least 1.
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// How many bytes values in memory take at most, cached responses among them; 256 MiB by default. At least 1.
    /// [`MemoryCacheBackendBuilder::max_bytes`](crate::MemoryCacheBackendBuilder::max_bytes) says what is counted.
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// How many counters in memory have a place that nothing else takes from them; half of [`max_keys`](Self::max_keys) by default.
    /// [`MemoryCacheBackendBuilder::counters`](crate::MemoryCacheBackendBuilder::counters) says more.
    pub fn counters(mut self, counters: usize) -> Self {
        self.counters = Some(counters);
        self
    }

    /// Keeps cached responses in memory apart, with so many keys and bytes for themselves. By default they lie among all else.
    /// [`MemoryCacheBackendBuilder::responses`](crate::MemoryCacheBackendBuilder::responses) says more.
    pub fn responses(mut self, max_keys: usize, max_bytes: u64) -> Self {
        self.responses.max_keys = Some(max_keys);
        self.responses.max_bytes = Some(max_bytes);
        self
    }

    /// The time to live of entries that are stored without one; 300 s by default. Not zero.
    pub fn default_ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.default_ttl = ttl.into();
        self
    }

    /// How long a call waits at most for another caller's load or update of the same key; a minute by default. Not zero; more
    /// than a day counts as a day.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How many loaders run at a time, in this process; without a limit by default. At least 1.
    /// [`MemoryCacheBackendBuilder::max_loads`](crate::MemoryCacheBackendBuilder::max_loads) says more.
    pub fn max_loads(mut self, max_loads: usize) -> Self {
        self.loads.max_loads = Some(max_loads);
        self
    }

    /// How many loads wait at most where there is a limit of [`max_loads`](Self::max_loads); 1,024 by default.
    pub fn max_waiting_loads(mut self, max_waiting_loads: usize) -> Self {
        self.loads.max_waiting = max_waiting_loads;
        self
    }

    /// What every key on Redis starts with; `cache:` by default. Not empty: a flush removes every key that starts so.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Where Redis is; `redis://localhost:6379` by default.
    pub fn redis_url(mut self, url: impl Into<String>) -> Self {
        self.redis_url = url.into();
        self
    }

    /// How long a command on Redis takes at most; a second by default. Not zero.
    pub fn redis_timeout(mut self, timeout: Duration) -> Self {
        self.redis_timeout = timeout;
        self
    }

    /// After how many failed attempts to connect to Redis, one after the other, calls fail at once for a while; 1 by default. At
    /// least 1.
    pub fn redis_breaker_threshold(mut self, failures: u32) -> Self {
        self.breaker.threshold = Some(failures);
        self
    }

    /// For how long calls on Redis fail at once, at most, before one of them tries whether the server is back; 250 ms by default. Not
    /// zero, and an hour at most.
    pub fn redis_breaker_pause(mut self, longest: Duration) -> Self {
        self.breaker.longest_pause = Some(longest);
        self
    }

    /// How many copies are held in memory at most, with [`BackendKind::Tiered`]; 10,000 by default. At least 1.
    pub fn near_max_keys(mut self, max_keys: usize) -> Self {
        self.near.max_keys = max_keys;
        self
    }

    /// How many bytes those copies take at most, all together; 256 MiB by default. At least 1.
    /// [`TieredCacheBackendBuilder::near_max_bytes`](crate::TieredCacheBackendBuilder::near_max_bytes) says what is counted.
    pub fn near_max_bytes(mut self, max_bytes: u64) -> Self {
        self.near.max_bytes = max_bytes;
        self
    }

    /// How long a copy is used at most; a minute by default, ten seconds with [`Coherence::Backplane`], a second with
    /// [`Coherence::NearTtl`]. At least a millisecond.
    pub fn near_ttl(mut self, ttl: Duration) -> Self {
        self.near.ttl = Some(ttl);
        self
    }

    /// How far a copy may be behind when a server says nothing; two seconds by default. At least 10 ms.
    pub fn near_max_staleness(mut self, bound: Duration) -> Self {
        self.near.max_staleness = bound;
        self
    }

    /// How this process learns of writes by others; [`Coherence::Tracking`] by default.
    pub fn near_coherence(mut self, coherence: Coherence) -> Self {
        self.near.coherence = coherence;
        self
    }

    /// How many keys that could not be written are remembered, with [`BackendKind::Tiered`], and removed when the server is back; 1,000 by
    /// default.
    pub fn near_max_repairs(mut self, max_keys: usize) -> Self {
        self.near.max_repairs = max_keys;
        self
    }

    /// How values are stored. By default as plain JSON on Redis, and in memory as what they are: with a codec, they are encoded
    /// there, too.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
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

    /// Builds the backend. Connects nowhere: [`verify`](CacheBackend::verify) does.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if a setting has a value that is not allowed, or asks for a store whose feature is not
    /// compiled in.
    pub fn build(&self) -> Result<Arc<dyn CacheBackend>, Error> {
        self.check()?;
        match self.backend {
            BackendKind::Memory => {
                let mut builder = MemoryCacheBackend::builder()
                    .max_keys(self.max_keys)
                    .max_bytes(self.max_bytes)
                    .default_ttl(self.default_ttl)
                    .patience(self.patience)
                    .load_options(self.load_options.clone())
                    .max_waiting_loads(self.loads.max_waiting);
                if let Some(counters) = self.counters {
                    builder = builder.counters(counters);
                }
                if let Some((keys, bytes)) = self.responses.bounds(self.max_keys, self.max_bytes) {
                    builder = builder.responses(keys, bytes);
                }
                if let Some(max_loads) = self.loads.max_loads {
                    builder = builder.max_loads(max_loads);
                }
                if let Some(codec) = &self.codec {
                    builder = builder.codec(codec.clone());
                }
                if self.is_strict {
                    builder = builder.strict();
                }
                Ok(Arc::new(builder.build()?))
            }
            BackendKind::Redis => redis::build(self),
            BackendKind::Tiered => redis::build_tiered(self),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.max_keys == 0 {
            let allowed = "a whole number, at least 1";
            return Err(Error::invalid_config("CACHE_MAX_KEYS", 0, allowed));
        }
        if self.max_bytes == 0 {
            let allowed = "a whole number, at least 1";
            return Err(Error::invalid_config("CACHE_MAX_BYTES", 0, allowed));
        }
        let counters = self.counters.unwrap_or(0);
        if self.backend == BackendKind::Memory && counters >= self.max_keys {
            let allowed = format!("less than CACHE_MAX_KEYS, which is {}", self.max_keys);
            return Err(Error::invalid_config("CACHE_COUNTERS", counters, allowed));
        }
        if self.default_ttl == Ttl::After(Duration::ZERO) {
            let allowed = "longer than zero";
            return Err(Error::invalid_config("CACHE_DEFAULT_TTL", 0, allowed));
        }
        if self.patience.is_zero() {
            let allowed = "longer than zero";
            return Err(Error::invalid_config("CACHE_PATIENCE_MS", 0, allowed));
        }
        if self.loads.max_loads == Some(0) {
            let allowed = "a whole number, at least 1";
            return Err(Error::invalid_config("CACHE_MAX_LOADS", 0, allowed));
        }
        if self.prefix.is_empty() {
            let allowed = "at least one character: a flush removes every key that starts so";
            return Err(Error::invalid_config("CACHE_PREFIX", "empty", allowed));
        }
        if self.redis_timeout.is_zero() {
            let allowed = "longer than zero";
            return Err(Error::invalid_config("REDIS_TIMEOUT_MS", 0, allowed));
        }
        self.breaker.check()?;
        self.near.check()?;
        self.responses.check()?;
        if self.backend != BackendKind::Memory && !env::is_redis_url(&self.redis_url) {
            let allowed = "a URL like redis://user:password@host:6379/0, or with rediss: for TLS";
            let given = redact::url(&self.redis_url);
            return Err(Error::invalid_config("REDIS_URL", given, allowed));
        }
        Ok(())
    }
}

/// Of the options of loads those that are for operators to tune.
fn load_options(variables: &Variables<'_>) -> Result<LoadOptions, Error> {
    const SECOND: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);
    let mut options = LoadOptions::new();
    let any_share = |share: f64| (0.0..=1.0).contains(&share);
    let jitter = variables.share("CACHE_TTL_JITTER", any_share, "a share from 0 to 1")?;
    if let Some(share) = jitter {
        options = options.jitter(share);
    }
    if let Some(window) = variables.time("CACHE_FAIL_SAFE", SECOND)? {
        options = options.fail_safe(window);
    }
    if let Some(limit) = variables.time("CACHE_SOFT_TIMEOUT_MS", MILLISECOND)? {
        options = options.soft_timeout(limit);
    }
    if let Some(limit) = variables.time("CACHE_HARD_TIMEOUT_MS", MILLISECOND)? {
        options = options.hard_timeout(limit);
    }
    let inner_share = |share: f64| share > 0.0 && share < 1.0;
    let allowed = "a share above 0 and below 1";
    if let Some(share) = variables.share("CACHE_EAGER_REFRESH", inner_share, allowed)? {
        options = options.eager_refresh(share);
    }
    Ok(options)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("backend", &self.backend)
            .field("max_keys", &self.max_keys)
            .field("max_bytes", &self.max_bytes)
            .field("counters", &self.counters)
            .field("responses", &self.responses)
            .field("default_ttl", &self.default_ttl)
            .field("patience", &self.patience)
            .field("loads", &self.loads)
            .field("prefix", &self.prefix)
            .field("redis_url", &redact::url(&self.redis_url))
            .field("redis_timeout", &self.redis_timeout)
            .field("breaker", &self.breaker)
            .field("near", &self.near)
            .field("codec", &self.codec)
            .field("is_strict", &self.is_strict)
            .field("load_options", &self.load_options)
            .finish()
    }
}
