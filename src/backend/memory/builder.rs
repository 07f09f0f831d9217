//! Settings of the backend in memory.

use super::MemoryCacheBackend;
use super::counts::Counts;
use crate::backend::codec::Codec;
use crate::backend::contract::DEFAULT_TTL;
use crate::backend::flights::{Flights, PATIENCE};
use crate::cache::Cache;
use crate::error::Error;
use crate::sync::AtomicBool;
use crate::time::{Clock, Ttl};
use std::time::Duration;

/// Settings of a [`MemoryCacheBackend`]; made by [`MemoryCacheBackend::builder`].
///
/// ```
/// use nori_cache::MemoryCacheBackend;
/// use std::time::Duration;
///
/// let backend = MemoryCacheBackend::builder()
///     .max_keys(50_000)
///     .default_ttl(Duration::from_secs(60))
///     .build()?;
/// assert!(backend.is_empty());
/// # Ok::<(), nori_cache::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct MemoryCacheBackendBuilder {
    max_keys: usize,
    default_ttl: Ttl,
    patience: Duration,
    clock: Clock,
    codec: Option<Codec>,
    is_strict: bool,
    trace_keys: bool,
}

impl MemoryCacheBackendBuilder {
    pub(super) fn new() -> Self {
        Self {
            max_keys: 10_000,
            default_ttl: DEFAULT_TTL,
            patience: PATIENCE,
            clock: Clock::system(),
            codec: None,
            is_strict: false,
            trace_keys: false,
        }
    }

    /// How many keys the backend holds at most; 10,000 by default. At least 1. The least recently used one makes room. Bytes
    /// are not bounded: large values want fewer keys.
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
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

    /// The clock for times to live; the system's by default, a [`ManualClock`](crate::ManualClock) in tests.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Stores values encoded, as a backend elsewhere does: each read decodes. By default they stay what they are, which is faster.
    ///
    /// For values that are smaller when they are compressed, and for tests of what is to be stored on Redis.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = Some(codec);
        self
    }

    /// Typed reads fail at [what cannot be decoded](crate::CacheBackendExt#what-cannot-be-decoded); they miss by default.
    pub fn strict(mut self) -> Self {
        self.is_strict = true;
        self
    }

    /// Whether the spans of loads name their keys (`nori_cache.key`); they do not by default, because keys may be personal. There are
    /// spans with the feature `tracing`.
    pub fn trace_keys(mut self, trace_keys: bool) -> Self {
        self.trace_keys = trace_keys;
        self
    }

    /// Builds the backend.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if `max_keys`, `default_ttl` or `patience` has a value that is not allowed.
    pub fn build(self) -> Result<MemoryCacheBackend, Error> {
        if self.default_ttl == Ttl::After(Duration::ZERO) {
            let allowed = "longer than zero, or Ttl::Never";
            return Err(Error::invalid_config("default_ttl", "zero", allowed));
        }
        if self.patience.is_zero() {
            return Err(Error::invalid_config("patience", "0", "longer than zero"));
        }
        Ok(MemoryCacheBackend {
            cache: Cache::builder()
                .max_keys(self.max_keys)
                .clock(self.clock)
                .build()?,
            default_ttl: self.default_ttl,
            codec: self.codec,
            is_strict: self.is_strict,
            closed: AtomicBool::new(false),
            flights: Flights::with_patience(self.patience).tracing_keys(self.trace_keys),
            counts: Counts::default(),
        })
    }
}
