//! [`TieredCacheBackendBuilder`]: settings for a backend of two tiers.

use super::TieredCacheBackend;
use super::near::Near;
use super::repair::Repairs;
use crate::backend::MAX_BYTES;
use crate::backend::coherence::Coherence;
use crate::backend::redis::{RedisCacheBackend, RedisCacheBackendBuilder, Tracking};
use crate::error::Error;
use crate::sync::AtomicU64;
use std::sync::Arc;
use std::time::Duration;

/// More than this counts as this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Of a copy, where servers tell of writes.
const ANNOUNCED: Duration = Duration::from_secs(60);
/// The same, where those who write do, and not all of them may.
const PUBLISHED: Duration = Duration::from_secs(10);
/// The same, where nobody does.
const UNANNOUNCED: Duration = Duration::from_secs(1);
/// There are no more stripes than this, which take 8 MiB.
const MOST_STRIPES: usize = 1 << 20;
/// What is known of tags serves for so long without another look at most: a version's copy is used that much shorter.
const LONGEST_TAGS: Duration = Duration::from_secs(1);
/// And for no more than such a part of what a copy is used.
const TAGS_SHARE: u32 = 8;

/// Settings for a [`TieredCacheBackend`]; see [`TieredCacheBackend::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TieredCacheBackendBuilder {
    redis: RedisCacheBackendBuilder,
    near_max_keys: usize,
    near_max_bytes: u64,
    near_ttl: Option<Duration>,
    max_staleness: Duration,
    coherence: Coherence,
    max_repairs: usize,
}

impl Default for TieredCacheBackendBuilder {
    fn default() -> Self {
        Self {
            redis: RedisCacheBackend::builder(),
            near_max_keys: 10_000,
            near_max_bytes: MAX_BYTES,
            near_ttl: None,
            max_staleness: Duration::from_secs(2),
            coherence: Coherence::default(),
            max_repairs: 1_000,
        }
    }
}

impl TieredCacheBackendBuilder {
    /// The far tier. Its codec, default time to live, prefix and so on are those of the whole.
    pub fn redis(mut self, redis: RedisCacheBackendBuilder) -> Self {
        self.redis = redis;
        self
    }

    /// How many copies are in memory at most; 10,000 by default. At least 1. The least recently used one makes room.
    pub fn near_max_keys(mut self, max_keys: usize) -> Self {
        self.near_max_keys = max_keys;
        self
    }

    /// How many bytes the copies take at most, all together; 256 MiB by default. At least 1. Least recently used ones make room, as many
    /// as it takes. Of a value that takes more than this there is no copy: Redis is asked for it each time.
    ///
    /// Counted are a key's length and the bytes that its value has in Redis. What an entry takes beside that, some 200 bytes, is not
    /// counted, nor is what it has been decoded as, for those who read it so.
    pub fn near_max_bytes(mut self, max_bytes: u64) -> Self {
        self.near_max_bytes = max_bytes;
        self
    }

    /// How long a copy is used at most; a minute by default, ten seconds with [`Coherence::Backplane`], a second with
    /// [`Coherence::NearTtl`], where nothing else bounds how far it is behind. At least a millisecond; more than a day counts as a day. Never longer than the entry itself lives.
    pub fn near_ttl(mut self, ttl: Duration) -> Self {
        self.near_ttl = Some(ttl);
        self
    }

    /// How far behind a read may be when a server says nothing: a connection that is dead without anybody having noticed, a primary
    /// that was cut off from its cluster, a process that stood still. Two seconds by default. At least 10 ms; more than a day counts as
    /// a day.
    ///
    /// Each server is asked four times in this time, and every five seconds at least, whether it is alive. If the bound is shorter
    /// than a few round trips, copies are often not used.
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.max_staleness = bound;
        self
    }

    /// How the near tier learns of writes by others; [`Coherence::Tracking`] by default.
    pub fn coherence(mut self, coherence: Coherence) -> Self {
        self.coherence = coherence;
        self
    }

    /// How many keys are remembered whose `set`, `delete` or the like failed, or may have: 1,000 by default. When Redis is back, they are
    /// removed there, so that what was to be replaced is not found any more. With 0, none.
    ///
    /// Each takes the memory of the key. When there are more, those that come then are not remembered:
    /// [`repairs_dropped`](super::TierStats::repairs_dropped) counts them. Nor are increments and updates, ever, and what is under a
    /// key then and is a bare integer stays: it may be a counter.
    pub fn max_repairs(mut self, max_keys: usize) -> Self {
        self.max_repairs = max_keys;
        self
    }

    /// Builds the backend. Connects nowhere: the first read does, or [`verify`](crate::CacheBackend::verify).
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if a setting has a value that is not allowed.
    pub fn build(self) -> Result<TieredCacheBackend, Error> {
        self.build_named("url")
    }

    /// As [`build`](Self::build); `url` is what errors call the URL.
    pub(crate) fn build_named(self, url: &'static str) -> Result<TieredCacheBackend, Error> {
        let least = |name, given: Duration, least: Duration| {
            if given >= least {
                return Ok(given.min(LONGEST));
            }
            let (given, allowed) = (format!("{given:?}"), format!("at least {least:?}"));
            Err(Error::invalid_config(name, given, allowed))
        };
        let is_announced = self.coherence != Coherence::NearTtl;
        let near_ttl = match (self.near_ttl, self.coherence) {
            (Some(ttl), _) => least("near_ttl", ttl, Duration::from_millis(1))?,
            (None, Coherence::Tracking | Coherence::Broadcast) => ANNOUNCED,
            (None, Coherence::Backplane) => PUBLISHED,
            (None, Coherence::NearTtl) => UNANNOUNCED,
        };
        let bound = least(
            "max_staleness",
            self.max_staleness,
            Duration::from_millis(10),
        )?;
        if self.near_max_keys == 0 {
            let allowed = "a whole number, at least 1";
            return Err(Error::invalid_config("near_max_keys", 0, allowed));
        }
        if self.near_max_bytes == 0 {
            return Err(Error::invalid_config("near_max_bytes", 0, "at least 1"));
        }
        let bounds = (self.near_max_keys, self.near_max_bytes);
        let near = Near::new(bounds, near_ttl, is_announced)?;
        // A write puts one other copy in four out of date, where all are in use.
        let stripes = self.near_max_keys.saturating_mul(4).min(MOST_STRIPES);
        let prefix = self.redis.key_prefix();
        let tracking = Tracking::new(prefix, stripes, bound, self.coherence);
        let tags_serve = (near_ttl.min(bound) / TAGS_SHARE).min(LONGEST_TAGS);
        let tracking = Arc::new(tracking.counting_tags(tags_serve));
        let watched = is_announced.then(|| Arc::clone(&tracking));
        let far = self.redis.build_tracked(url, watched)?;
        let repairs = Repairs::new(self.max_repairs, far.remover(), Arc::clone(&tracking));
        Ok(TieredCacheBackend {
            near,
            far,
            tracking,
            repairs,
            coherence: self.coherence,
            far_reads: AtomicU64::new(0),
        })
    }
}
