//! [`Cache`]: the safe front over the core.

mod builder;
mod entry_ops;
mod expiry;
#[cfg(all(test, not(nori_loom)))]
mod hostile;
mod inserted;
mod iter;
mod lifetime;
mod live;
mod load;
mod pin;
mod place;
mod read;
mod resize;
#[cfg(feature = "serde")]
#[cfg_attr(docsrs, doc(cfg(feature = "serde")))]
mod snapshot;
mod stats;
mod write;

pub use builder::CacheBuilder;
pub use entry_ops::Drain;
pub use expiry::Expiry;
pub use inserted::{Inserted, Refusal};
pub use iter::Iter;
#[cfg(feature = "backend")]
pub(crate) use load::Counters as LoadCounters;
pub use load::{LoadStats, Loaded};
pub use stats::Stats;
pub use write::Update;

use crate::core::reclaim::{self, Tally};
use crate::core::{Listener, NEVER, Needs, Pinning, Plan, Policy, Route, SideWords, Store};
use crate::sync::{AtomicBool, Ordering};
use crate::time::Clock;
use lifetime::{Lifetime, Lifetimes};
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

/// A sharded in-process cache with a hard bound on its keys, LRU or adaptive eviction and a time to live for each entry.
///
/// A `Cache` is a handle: clones are cheap and share the entries. All calls take `&self`, from any thread, in sync and in
/// async code; none of them waits for I/O or for a background thread, of which there is none.
///
/// * **Reads take no lock.** [`get`](Self::get), [`get_with`](Self::get_with), [`get_many`](Self::get_many) and the other
///   reads never wait for a writer, allocate nothing, and write nothing that another reader of the key must fetch.
/// * **Writes lock one shard** for as long as it takes to link an entry; your code (`Hash`, `Eq`, `Clone`, `Drop`, closures)
///   never runs under that lock, so it may panic or call the cache.
/// * **At most [`max_keys`](Self::max_keys) keys**, over all shards, at any moment; and none is evicted before there are that
///   many. The least recently used entry of a shard goes first, or what [`Policy::Adaptive`] chooses; expired ones before
///   live ones: as far as a write finds one among 1,024 that it looks at.
/// * **At most [`max_weight`](Self::max_weight)** in the same way, if there is a [`weigher`](CacheBuilder::weigher).
/// * **Keys may be hostile.** Where `Hash` and `Eq` disagree, or change their minds, answers are wrong; nothing else is.
/// * **Entries that left are dropped later**, on the thread of some write: when every read that was going on at the time has
///   ended, and at most a few hundred writes to the shard after that, or a sixteenth of what had queued up; with thousands of
///   idle threads, some thousand. [`clear`](Self::clear), [`retain`](Self::retain) and
///   [`purge_expired`](Self::purge_expired) drop at once what no reader is looking at.
///
/// ```
/// use nori_cache::Cache;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// struct Profile { name: String }
///
/// let cache: Cache<String, Arc<Profile>> = Cache::builder()
///     .max_keys(10_000)
///     .ttl(Duration::from_secs(300))
///     .build()?;
/// cache.insert("user:42".to_owned(), Arc::new(Profile { name: "Ana".to_owned() }));
/// let hit = cache.get("user:42");
/// assert_eq!(hit.unwrap().name, "Ana");
/// let length = cache.get_with("user:42", |profile| profile.name.len());
/// assert_eq!(length, Some(3));
/// # Ok::<(), nori_cache::Error>(())
/// ```
pub struct Cache<K, V, S = ahash::RandomState> {
    inner: Arc<Inner<K, V, S>>,
}

/// Laid out by what a hit needs: the first two lines, of which processors fetch one with the other, have all of it.
#[repr(C, align(128))]
struct Inner<K, V, S> {
    hasher: S,
    reads: Tally,
    clock: Clock,
    store: Store<K, V>,
    /// Whether reads move deadlines.
    watched: bool,
    ttl: Lifetime,
    /// Whether any entry has ever had a deadline; until then no write reads the clock.
    timed: AtomicBool,
    /// What an insertion has to take care of. All of it also if lifetimes are special.
    needs: Needs,
    /// Whether what else the cache was told makes deadlines another matter.
    special: bool,
    lifetimes: Lifetimes<K, V>,
    /// If entries are weighed.
    weigher: Option<Weigher<K, V>>,
    /// If some are pinned by what they are.
    pins: Option<Pins<V>>,
    /// What is being loaded.
    loads: load::table::Table<K, V>,
    /// What became of loads.
    loading: load::Counters,
}

/// Says what an entry weighs.
type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;

/// Which entries are pinned whoever stores them, and how many of them, but for those that threads pin at the same time. All others
/// are not.
struct Pins<V> {
    is_one: fn(&V) -> bool,
    most: u64,
}

impl<V> Pins<V> {
    /// `pinned` are so by now.
    fn pinning(&self, value: &V, pinned: u64) -> Pinning {
        if !(self.is_one)(value) {
            Pinning::No
        } else if pinned < self.most {
            Pinning::Yes
        } else {
            Pinning::AsBefore
        }
    }
}

/// What the builder has checked.
struct Config<K, V, S> {
    max_keys: usize,
    /// If there is a weigher.
    max_weight: Option<u64>,
    weigher: Option<Weigher<K, V>>,
    pins: Option<Pins<V>>,
    listener: Option<Listener<K, V>>,
    ttl: Lifetime,
    lifetimes: Lifetimes<K, V>,
    shards: usize,
    policy: Policy,
    hasher: S,
    clock: Clock,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache of at most `max_keys` keys, whose entries live until they are removed or evicted.
    ///
    /// # Panics
    /// If `max_keys` is 0, or more than the default shards can hold (2^38). [`Cache::builder`] returns an error instead.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(1_000);
    /// cache.insert("key", 7);
    /// assert_eq!(cache.get("key"), Some(7));
    /// ```
    pub fn new(max_keys: usize) -> Self {
        match Self::builder().max_keys(max_keys).build() {
            Ok(cache) => cache,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<K, V> Cache<K, V> {
    /// Settings for a new cache: 10,000 keys that never expire, unless told otherwise.
    pub fn builder() -> CacheBuilder<K, V> {
        CacheBuilder::new()
    }
}

impl<K, V, S> Cache<K, V, S> {
    fn with(config: Config<K, V, S>) -> Self {
        let lifetimes = config.lifetimes;
        let idles = lifetimes.idle != Lifetime::EVER;
        let mut side = SideWords::NONE;
        if idles {
            side = side.and(SideWords::LIMIT);
        }
        if config.weigher.is_some() {
            side = side.and(SideWords::WEIGHT);
        }
        let special = lifetimes.is_special();
        let mut store = Store::with(Plan {
            max_keys: config.max_keys,
            shards: config.shards,
            policy: config.policy,
            side,
            max_weight: config.max_weight,
        });
        if let Some(listener) = config.listener {
            store = store.listening(Arc::new(listener));
        }
        Self {
            inner: Arc::new(Inner {
                needs: if special || config.pins.is_some() || store.listener().is_some() {
                    Needs::All
                } else if config.weigher.is_some() {
                    Needs::Weights
                } else {
                    Needs::Nothing
                },
                store,
                special,
                weigher: config.weigher,
                pins: config.pins,
                hasher: config.hasher,
                clock: config.clock,
                ttl: config.ttl,
                timed: AtomicBool::new(config.ttl != Lifetime::EVER || idles),
                watched: lifetimes.is_watched(),
                lifetimes,
                reads: reclaim::tally(),
                loads: load::table::Table::new(),
                loading: load::Counters::default(),
            }),
        }
    }

    /// How many keys the cache holds: expired ones that no write has taken out yet included, never more than
    /// [`max_keys`](Self::max_keys).
    pub fn len(&self) -> usize {
        self.inner.store.len()
    }

    /// Whether [`len`](Self::len) is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys the cache holds at most.
    pub fn max_keys(&self) -> usize {
        self.inner.store.max_keys()
    }

    /// What the entries weigh, all together: expired ones that no write has taken out yet included, never more than
    /// [`max_weight`](Self::max_weight). 0 in a cache without a weigher.
    pub fn weight(&self) -> u64 {
        let pool = self.inner.store.budget().weight();
        pool.map_or(0, |pool| pool.used())
    }

    /// What the entries weigh at most, all together; [`u64::MAX`] in a cache without that bound.
    pub fn max_weight(&self) -> u64 {
        let pool = self.inner.store.budget().weight();
        pool.map_or(u64::MAX, |pool| pool.max())
    }

    /// How many shards the keys are spread over.
    pub fn shards(&self) -> usize {
        self.inner.store.shards().len()
    }

    /// What the cache has done so far. Takes each shard's lock for a moment.
    pub fn stats(&self) -> Stats {
        let (hits, misses) = self.inner.reads.sum();
        let listener = self.inner.store.listener();
        let mut stats = Stats {
            listener_panics: listener.map_or(0, |listener| listener.panics()),
            hits,
            misses,
            loads: self.inner.loading.sum(),
            ..Stats::default()
        };
        for shard in self.inner.store.shards() {
            let (counts, rare, pending) = shard.counts();
            stats.inserts += counts.inserts;
            stats.evictions += counts.evictions;
            stats.expirations += counts.expirations;
            stats.evicted_weight = stats.evicted_weight.saturating_add(rare.evicted_weight);
            stats.refusals += rare.refusals;
            stats.removals += rare.removals;
            stats.cleared += rare.cleared;
            stats.pending += u64::from(pending);
        }
        stats
    }

    /// What the cache has done since `previous` was taken from [`stats`](Self::stats).
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("key", 1);
    /// let before = cache.stats();
    /// cache.get("key");
    /// let since = cache.stats_since(&before);
    /// assert_eq!((since.inserts, since.hits), (0, 1));
    /// ```
    pub fn stats_since(&self, previous: &Stats) -> Stats {
        self.stats().since(previous)
    }

    /// The live entries, cloned a shard at a time, in no particular order.
    ///
    /// Weakly consistent: an entry that is in the cache throughout is returned once, one that comes, changes or goes
    /// meanwhile may be or not. Does not count as a use. Holds the clones of one shard, and nothing that hinders other
    /// threads between two calls of `next`.
    ///
    /// ```
    /// let cache = nori_cache::Cache::new(10);
    /// cache.insert("a", 1);
    /// cache.insert("b", 2);
    /// let mut all: Vec<_> = cache.iter().collect();
    /// all.sort();
    /// assert_eq!(all, [("a", 1), ("b", 2)]);
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V, S>
    where
        K: Clone,
        V: Clone,
    {
        Iter::new(self)
    }
}

impl<K, V, S> Inner<K, V, S> {
    /// The time for deadlines that exist; 0 if there are none.
    #[inline(always)]
    fn now(&self) -> u64 {
        // Relaxed: a thread that has not learnt yet of the first deadline takes its entry for alive, as it was just now.
        if self.timed.load(Ordering::Relaxed) {
            self.clock_now()
        } else {
            0
        }
    }

    /// The time; at the end of the range it stands still, short of the deadline that means never.
    #[inline(always)]
    fn clock_now(&self) -> u64 {
        self.clock.now().min(NEVER - 1)
    }

    /// As [`Inner::clock_now`], cheaper where this thread has just asked.
    #[inline(always)]
    fn recent(&self) -> u64 {
        self.clock.recently().min(NEVER - 1)
    }

    /// Where a key belongs.
    ///
    /// Not by `BuildHasher::hash_one`: where ahash specialises that (on nightly Rust), a key and what it borrows as, a newtype
    /// and its number, hash differently.
    #[inline(always)]
    #[expect(clippy::manual_hash_one, reason = "see above")]
    fn route<Q>(&self, key: &Q) -> Route
    where
        Q: Hash + ?Sized,
        S: BuildHasher,
    {
        let mut hasher = self.hasher.build_hasher();
        key.hash(&mut hasher);
        Route::new(hasher.finish())
    }
}

impl<K, V, S> Clone for Cache<K, V, S> {
    /// Another handle to the same cache.
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<K, V, S> fmt::Debug for Cache<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("len", &self.len())
            .field("max_keys", &self.max_keys())
            .field("shards", &self.shards())
            .field("loads", &self.inner.loads.len())
            .finish_non_exhaustive()
    }
}
