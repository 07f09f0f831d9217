use super::lifetime::{Jitter, Lifetime, Lifetimes};
use super::{Cache, Config, Expiry, Pins, Weigher};
use crate::core::{Listener, Policy, RemovalCause};
use crate::error::Error;
use crate::sync::AtomicBool;
use crate::time::{Clock, Ttl};
use std::fmt;
use std::hash::{BuildHasher, Hash};

/// Keys a cache holds if nothing else is said.
const DEFAULT_MAX_KEYS: usize = 10_000;
/// No more shards than this.
const MAX_SHARDS: usize = 1 << 10;
/// No more keys than this to a shard: ids are 32 bits, and slots in limbo need some too.
const MAX_KEYS_PER_SHARD: usize = 1 << 28;
/// The default shard count leaves each shard at least this many keys, so that small caches are one exact LRU.
const MIN_KEYS_PER_SHARD: usize = 256;

/// Settings of a [`Cache`]; made by [`Cache::builder`].
///
/// ```
/// use nori_cache::{Cache, Ttl};
/// use std::time::Duration;
///
/// let cache: Cache<String, u64> = Cache::builder()
///     .max_keys(50_000)
///     .ttl(Duration::from_secs(300))
///     .build()?;
/// assert_eq!(cache.max_keys(), 50_000);
/// # Ok::<(), nori_cache::Error>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct CacheBuilder<K, V, S = ahash::RandomState> {
    max_keys: usize,
    ttl: Ttl,
    time_to_idle: Ttl,
    ttl_jitter: f64,
    expiry: Option<Box<dyn Expiry<K, V>>>,
    shards: Option<usize>,
    policy: Policy,
    hasher: S,
    clock: Clock,
    max_weight: Option<u64>,
    weigher: Option<Weigher<K, V>>,
    pins: Option<Pins<V>>,
    listener: Option<Listener<K, V>>,
}

impl<K, V> CacheBuilder<K, V> {
    pub(super) fn new() -> Self {
        Self {
            max_keys: DEFAULT_MAX_KEYS,
            ttl: Ttl::Never,
            time_to_idle: Ttl::Never,
            ttl_jitter: 0.0,
            expiry: None,
            shards: None,
            policy: Policy::Lru,
            hasher: ahash::RandomState::new(),
            clock: Clock::system(),
            max_weight: None,
            weigher: None,
            pins: None,
            listener: None,
        }
    }
}

impl<K, V, S> CacheBuilder<K, V, S> {
    /// How many keys the cache holds at most, over all shards; 10,000 by default. At least 1.
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.max_keys = max_keys;
        self
    }

    /// What the entries weigh at most, all together and at every moment, by the [`weigher`](Self::weigher), without which there is no
    /// such bound. It holds beside [`max_keys`](Self::max_keys): a cache that is to be bounded by weight alone wants as many keys as
    /// may ever be in it. At least 1.
    ///
    /// An entry that is heavier than that is refused, as [`insert`](Cache::insert) returns; it never empties the cache. Others make
    /// room: the least recently used ones go, first in the key's shard and then in all of them in turn, until the new one fits.
    pub fn max_weight(mut self, max_weight: u64) -> Self {
        self.max_weight = Some(max_weight);
        self
    }

    /// What an entry weighs: its bytes, say, or what it costs to make. Called once for each value that is to be stored, before that,
    /// and without a lock; what it returns holds for as long as the value is in the cache. If it panics, the caller sees that, and
    /// nothing has changed. Without [`max_weight`](Self::max_weight) weights are counted and not bounded.
    ///
    /// Zero is allowed: such an entry takes a key, but no weight, and gives none when it is evicted.
    ///
    /// ```
    /// use nori_cache::Cache;
    ///
    /// let cache: Cache<String, Vec<u8>> = Cache::builder()
    ///     .max_keys(1_000_000)
    ///     .max_weight(64 << 20)
    ///     .weigher(|key: &String, bytes: &Vec<u8>| (key.len() + bytes.len()) as u64)
    ///     .build()?;
    /// cache.insert("key".to_owned(), vec![0; 1_000]);
    /// assert_eq!(cache.weight(), 1_003);
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.weigher = Some(Box::new(weigher));
        self
    }

    /// Pins up to so many of the entries whose values are of this kind, whoever stores them, and no others.
    #[cfg_attr(not(feature = "backend"), allow(dead_code))]
    pub(crate) fn pins(mut self, most: u64, is_one: fn(&V) -> bool) -> Self {
        self.pins = Some(Pins { is_one, most });
        self
    }

    /// Has a function be told of each entry that leaves, with the reason: once, by the thread whose call took it out, before that call
    /// returns. For what has expired, that is the call which comes across it. What the cache holds when it is dropped leaves
    /// silently, and so does what never comes in as its time to live is zero, or as it was refused and the caller has it:
    /// `insert_if_absent` and `replace` give it back, loads return it.
    ///
    /// No lock is held meanwhile, and nothing but this entry is kept from being dropped: the function may take its time, which is that of
    /// the call, and may call the cache. A reader may still be in the entry, so it is lent, not given. If the function panics, the
    /// panic ends there, and is counted in [`Stats::listener_panics`](crate::Stats::listener_panics).
    ///
    /// Threads are told of what they have taken out each on its own: a removal may be told before the insertion has returned
    /// that it removes. Without a listener nothing of this costs anything; with one, a write allocates for what it tells.
    ///
    /// ```
    /// use nori_cache::{Cache, RemovalCause};
    /// use std::sync::mpsc;
    ///
    /// let (told, gone) = mpsc::channel();
    /// let cache: Cache<u64, String> = Cache::builder()
    ///     .max_keys(1)
    ///     .on_removal(move |key: &u64, _: &String, cause| _ = told.send((*key, cause)))
    ///     .build()?;
    /// cache.insert(1, "one".to_owned());
    /// cache.insert(1, "uno".to_owned());
    /// cache.insert(2, "two".to_owned());
    /// cache.remove(&2);
    /// let all: Vec<_> = gone.try_iter().collect();
    /// assert_eq!(all, [(1, RemovalCause::Replaced), (1, RemovalCause::Evicted), (2, RemovalCause::Removed)]);
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn on_removal(
        mut self,
        listener: impl Fn(&K, &V, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Listener::new(Box::new(listener)));
        self
    }

    /// The time to live of entries inserted without one; [`Ttl::Never`] by default. Not zero.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// How long an entry lives that nobody reads; [`Ttl::Never`] by default. Not zero. With a time to live as well, the earlier end
    /// counts.
    ///
    /// Reads are `get`, `get_with` and `get_many`, and loads that find what they would load; [`touch`](Cache::touch) restarts the time as
    /// they do, and so does whatever writes the entry. Other looks at the cache (`peek`, `contains_key`, `ttl`, `iter`, `retain`, an
    /// `update` that keeps what is there) do not. A read restarts the time if a sixteenth of it has passed since that was last done,
    /// as other reads would have to fetch each time what it stores; so **an entry is gone once it has not been read for this time, and may
    /// be gone up to a sixteenth of it earlier**. With a [ticking clock](Clock::ticking) it is that clock's time that counts for reads: an
    /// entry may go earlier by what that is late, too.
    ///
    /// Each slot takes 8 bytes more.
    ///
    /// ```
    /// use nori_cache::{Cache, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let cache = Cache::builder()
    ///     .time_to_idle(Duration::from_secs(10))
    ///     .clock(clock.clone())
    ///     .build()?;
    /// cache.insert("key", 1);
    /// clock.advance(Duration::from_secs(6));
    /// assert_eq!(cache.get("key"), Some(1));
    /// clock.advance(Duration::from_secs(6));
    /// assert_eq!(cache.get("key"), Some(1));
    /// clock.advance(Duration::from_secs(10));
    /// assert_eq!(cache.get("key"), None);
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn time_to_idle(mut self, idle: impl Into<Ttl>) -> Self {
        self.time_to_idle = idle.into();
        self
    }

    /// Asks `expiry` how long entries live: those of [`insert`](Cache::insert), of loads, and of
    /// [`Update::Set`](super::Update::Set), when they are stored and when they are read. A time that is given with a call, as to
    /// `insert_with_ttl`, counts without a question. An [idle time](Self::time_to_idle) counts besides.
    ///
    /// Whether an entry is new or takes the place of another one is decided by a look just before it is stored.
    pub fn expiry(mut self, expiry: impl Expiry<K, V> + 'static) -> Self {
        self.expiry = Some(Box::new(expiry));
        self
    }

    /// Shortens each time to live by a random share of it, up to this one, from 0 to 1; 0 by default. So entries that are stored at the same
    /// time, when a cache is filled, do not all expire at the same time.
    ///
    /// None is prolonged, and none is shortened to less than a millisecond. It counts wherever a time to live begins: in writes, in
    /// [`touch`](Cache::touch) and [`set_ttl`](Cache::set_ttl). Idle times, and what an [`Expiry`] says of a read, are left as they
    /// are. The share depends on the key's hash and the time, and nothing else: with a hasher and a clock of one's own a test sees
    /// the same each time.
    pub fn ttl_jitter(mut self, share: f64) -> Self {
        self.ttl_jitter = share;
        self
    }

    /// How many shards the keys are spread over: a power of two, at most 1,024 and at most `max_keys` (rounded up to a power
    /// of two). By default four to a core, and fewer in a small cache, so that each shard has at least 256 keys.
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = Some(shards);
        self
    }

    /// Which entry goes when the cache is full and a new key comes; [`Policy::Lru`] by default.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The hasher for keys; [`ahash::RandomState`] by default.
    pub fn hasher<H>(self, hasher: H) -> CacheBuilder<K, V, H> {
        CacheBuilder {
            max_keys: self.max_keys,
            ttl: self.ttl,
            time_to_idle: self.time_to_idle,
            ttl_jitter: self.ttl_jitter,
            expiry: self.expiry,
            shards: self.shards,
            policy: self.policy,
            hasher,
            clock: self.clock,
            max_weight: self.max_weight,
            weigher: self.weigher,
            pins: self.pins,
            listener: self.listener,
        }
    }

    /// The clock for times to live; the system's by default, a [`ManualClock`](crate::ManualClock) in tests.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Builds the cache. Memory is taken as keys come. But addresses are set aside at once: 6 to 11 bytes for each of `max_keys`, and on
    /// a 64-bit Unix the slots for all of them (up to 512 MiB on other 64-bit systems, 16 MiB with 32 bits); or less, where so much
    /// is not to be had. That counts where a system charges for memory before it is touched, or a global allocator writes to memory that is
    /// to be zeroed.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if `max_keys`, `max_weight`, `shards`, `ttl`, `time_to_idle` or `ttl_jitter` has a value that is
    /// not allowed, or there is a `max_weight` and no `weigher`.
    pub fn build(self) -> Result<Cache<K, V, S>, Error>
    where
        K: Hash + Eq,
        S: BuildHasher,
    {
        check_max_keys(self.max_keys, MAX_SHARDS)?;
        let max_weight = match (self.max_weight, &self.weigher) {
            (Some(0), _) => return Err(Error::invalid_config("max_weight", 0, "at least 1")),
            (Some(_), None) => {
                let allowed = "set, as max_weight is";
                return Err(Error::invalid_config("weigher", "missing", allowed));
            }
            (None, None) => None,
            (max_weight, Some(_)) => Some(max_weight.unwrap_or(u64::MAX)),
        };
        let lifetime = |name, ttl| {
            let allowed = "longer than zero, or Ttl::Never";
            Lifetime::new(ttl).ok_or_else(|| Error::invalid_config(name, "zero", allowed))
        };
        let ttl = lifetime("ttl", self.ttl)?;
        let idle = lifetime("time_to_idle", self.time_to_idle)?;
        let jitter = Jitter::new(self.ttl_jitter).ok_or_else(|| {
            Error::invalid_config("ttl_jitter", self.ttl_jitter, "a share from 0 to 1")
        })?;
        let shards = match self.shards {
            Some(shards) => check_shards(shards, self.max_keys)?,
            None => default_shards(self.max_keys),
        };
        check_max_keys(self.max_keys, shards)?;
        Ok(Cache::with(Config {
            max_keys: self.max_keys,
            max_weight,
            weigher: self.weigher,
            pins: self.pins,
            listener: self.listener,
            ttl,
            lifetimes: Lifetimes {
                idle,
                jitter,
                expiry: self.expiry,
                limited: AtomicBool::new(ttl != Lifetime::EVER),
            },
            shards,
            policy: self.policy,
            hasher: self.hasher,
            clock: self.clock,
        }))
    }
}

/// Whether so many shards can hold so many keys.
pub(super) fn check_max_keys(max_keys: usize, shards: usize) -> Result<(), Error> {
    if max_keys == 0 {
        return Err(Error::invalid_config("max_keys", 0, "at least 1"));
    }
    if max_keys.div_ceil(shards) > MAX_KEYS_PER_SHARD {
        let most = MAX_KEYS_PER_SHARD.saturating_mul(shards);
        let allowed = format_args!("at most {most} with {shards} shards");
        return Err(Error::invalid_config("max_keys", max_keys, allowed));
    }
    Ok(())
}

fn check_shards(shards: usize, max_keys: usize) -> Result<usize, Error> {
    let most = MAX_SHARDS.min(max_keys.checked_next_power_of_two().unwrap_or(MAX_SHARDS));
    if shards.is_power_of_two() && shards <= most {
        return Ok(shards);
    }
    let allowed = format_args!("a power of two from 1 to {most} for {max_keys} keys");
    Err(Error::invalid_config("shards", shards, allowed))
}

fn default_shards(max_keys: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = (max_keys / MIN_KEYS_PER_SHARD).max(1);
    // The largest power of two that leaves each shard its minimum.
    let most = 1 << most.ilog2();
    let wanted = (cores * 4).next_power_of_two().min(MAX_SHARDS);
    // More than the cores ask for if there are very many keys.
    let least = max_keys.div_ceil(MAX_KEYS_PER_SHARD).next_power_of_two();
    wanted.min(most).max(least.min(MAX_SHARDS))
}

impl<K, V, S> fmt::Debug for CacheBuilder<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("max_keys", &self.max_keys)
            .field("max_weight", &self.max_weight)
            .field("ttl", &self.ttl)
            .field("time_to_idle", &self.time_to_idle)
            .field("ttl_jitter", &self.ttl_jitter)
            .field("shards", &self.shards)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
