//! Settings of the backend in memory.

use super::counts::Counts;
use super::{MemoryCacheBackend, Stored};
use crate::backend::codec::Codec;
use crate::backend::contract::DEFAULT_TTL;
use crate::backend::flights::{Flights, LoadLimits, PATIENCE};
use crate::backend::load::LoadOptions;
use crate::backend::tag_changes::TagChanges;
use crate::cache::Cache;
use crate::error::Error;
use crate::sync::AtomicBool;
use crate::time::{Clock, Ttl};
use std::sync::Arc;
use std::time::Duration;

/// What values take together, unless configured.
pub(crate) const MAX_BYTES: u64 = 256 << 20;
/// How long an entry may still be shown of which the version of a tag was evicted, or has expired.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

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
    max_bytes: u64,
    counters: Option<usize>,
    /// Keys and bytes of cached responses, if they have a budget of their own.
    responses: Option<(usize, u64)>,
    default_ttl: Ttl,
    patience: Duration,
    loads: LoadLimits,
    clock: Clock,
    codec: Option<Codec>,
    is_strict: bool,
    load_options: LoadOptions,
    trace_keys: bool,
}

impl MemoryCacheBackendBuilder {
    pub(super) fn new() -> Self {
        Self {
            max_keys: 10_000,
            max_bytes: MAX_BYTES,
            counters: None,
            responses: None,
            default_ttl: DEFAULT_TTL,
            patience: PATIENCE,
            loads: LoadLimits::default(),
            clock: Clock::system(),
            codec: None,
            is_strict: false,
            load_options: LoadOptions::new(),
            trace_keys: false,
        }
    }

    /// How many keys the backend holds at most; 10,000 by default. At least 1. The least recently used one makes room, but for
    /// [`counters`](Self::counters) that have a place of their own.
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// How many bytes the values take at most, all together; 256 MiB by default. At least 1. Least recently used ones make room, as many
    /// as it takes, those near the key first: with many keys it is no exact order. A value that takes more than this is not kept, nor is what it was to replace.
    ///
    /// Counted are a key's length and that of its value: of one that is encoded the bytes that it has, of any other about as many as it
    /// would have as JSON, and of a cached response its body and about what its headers take. What an entry takes beside that, some
    /// 100 bytes, is not counted, and counters are not, which [`max_keys`](Self::max_keys) bounds. A type that is much larger in memory
    /// than as JSON wants a smaller bound.
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// How many counters have a place of their own, which nothing else takes from them; half of [`max_keys`](Self::max_keys) by
    /// default, and always less than that. So no number of values and responses evicts a rate limit's counter.
    ///
    /// A counter is what an increment has made or changed, until it is set to something else. One has its place until it expires or is
    /// removed. Those that come when all places are taken are evicted like values. (Threads that make counters at the same time may
    /// take as many places more.) With 0 all are.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::builder().max_keys(100).counters(10).build()?;
    /// backend.incr("logins:ana", Ttl::Never).await?;
    /// for page in 0..1_000 {
    ///     backend.set(&format!("page:{page}"), "crawled", Ttl::Never).await?;
    /// }
    /// assert_eq!(backend.incr("logins:ana", Ttl::Never).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn counters(mut self, counters: usize) -> Self {
        self.counters = Some(counters);
        self
    }

    /// Keeps what the response layer stores here apart, with bounds of its own: so many keys, and so many bytes, counted as for
    /// [`max_bytes`](Self::max_bytes). At least 1 each. By default responses lie among all else, and the bounds are those of all.
    ///
    /// Then no number of pages evicts a value, and no number of values a page. A flush of this backend flushes responses, and
    /// purges find them, as before; but under their keys nobody but the layer finds them here. A response takes one key for each
    /// variant of it, and one more if it has variants.
    pub fn responses(mut self, max_keys: usize, max_bytes: u64) -> Self {
        self.responses = Some((max_keys, max_bytes));
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

    /// What loads do where they are not told otherwise.
    pub fn load_options(mut self, options: LoadOptions) -> Self {
        self.load_options = options;
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
    /// [`Error::is_invalid_config`] if `max_keys`, `max_bytes`, `counters`, `responses`, `default_ttl`, `patience`, `max_loads` or a load
    /// option has a value that is not allowed.
    pub fn build(self) -> Result<MemoryCacheBackend, Error> {
        if self.default_ttl == Ttl::After(Duration::ZERO) {
            let allowed = "longer than zero, or Ttl::Never";
            return Err(Error::invalid_config("default_ttl", "zero", allowed));
        }
        if self.patience.is_zero() {
            return Err(Error::invalid_config("patience", "0", "longer than zero"));
        }
        self.load_options.check()?;
        if self.max_bytes == 0 {
            return Err(Error::invalid_config("max_bytes", 0, "at least 1"));
        }
        let counters = match self.counters {
            None => self.max_keys / 2,
            Some(0) => 0,
            Some(counters) if counters < self.max_keys => counters,
            Some(counters) => {
                let allowed = format!("less than max_keys, which is {}", self.max_keys);
                return Err(Error::invalid_config("counters", counters, allowed));
            }
        };
        let responses = match self.responses {
            None => None,
            Some((0, _)) => return Err(Error::invalid_config("responses", "0 keys", "at least 1")),
            Some((_, 0)) => {
                return Err(Error::invalid_config("responses", "0 bytes", "at least 1"));
            }
            Some((max_keys, max_bytes)) => {
                let apart = Self {
                    max_keys,
                    max_bytes,
                    counters: Some(0),
                    responses: None,
                    loads: LoadLimits::default(),
                    clock: self.clock.clone(),
                    codec: self.codec.clone(),
                    load_options: LoadOptions::new(),
                    ..self
                };
                Some(Arc::new(apart.build()?))
            }
        };
        // In tests of what gets old each hit looks: else time would pass in steps.
        let is_manual = self.clock.manual().is_some();
        let tag_changes = TagChanges::new(LOOK_AGAIN).filter(|_| !is_manual);
        let flights = Flights::with_patience(self.patience).tracing_keys(self.trace_keys);
        Ok(MemoryCacheBackend {
            manual_clock: self.clock.manual().cloned(),
            load_options: self.load_options,
            flights: self.loads.apply(flights, "max_loads")?,
            cache: Cache::<Box<str>, _>::builder()
                .max_keys(self.max_keys)
                .max_weight(self.max_bytes)
                .weigher(|key, stored| Stored::weigh(key, stored))
                .pins(counters as u64, Stored::is_counter)
                .clock(self.clock)
                .build()?,
            responses,
            default_ttl: self.default_ttl,
            codec: self.codec,
            is_strict: self.is_strict,
            tag_changes,
            closed: AtomicBool::new(false),
            counts: Counts::default(),
        })
    }
}
