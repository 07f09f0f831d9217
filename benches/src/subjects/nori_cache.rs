//! Ours, with a time to live on every entry, and without, under either policy, with and without a weigher.

use std::time::Duration;

use ahash::RandomState;
use nori_cache::{Cache, Clock, Policy};

use crate::{Key, Subject, Value};

/// `nori_cache::Cache` with its default shard count and a TTL of one hour, by the strict clock or a ticking one, or with none, as
/// the rivals; an LRU, or adaptive with the strict clock. With a weigher, entries weigh [`WEIGHT`], and the cache holds so many times
/// `WEIGHED` as keys.
pub struct NoriCache<
    K,
    V,
    const TTL: bool = true,
    const TICKING: bool = false,
    const ADAPTIVE: bool = false,
    const WEIGHED: u64 = 0,
>(Cache<K, V, RandomState>);

/// What each entry weighs, if anything does: both bounds are reached at the same time where the cache holds so much for each key.
pub const WEIGHT: u64 = 100;

impl<
    K: Key,
    V: Value,
    const TTL: bool,
    const TICKING: bool,
    const ADAPTIVE: bool,
    const WEIGHED: u64,
> Subject<K, V> for NoriCache<K, V, TTL, TICKING, ADAPTIVE, WEIGHED>
{
    const NAME: &'static str = match (TTL, TICKING, ADAPTIVE, WEIGHED) {
        (_, _, true, _) => super::OURS_ADAPTIVE,
        (.., WEIGHT) => super::OURS_WEIGHED,
        (.., 1..) => super::OURS_WEIGHED_LOOSELY,
        (true, false, ..) => super::OURS,
        (true, true, ..) => super::OURS_TICKING,
        (false, ..) => super::OURS_NO_TTL,
    };

    fn fresh(capacity: usize) -> Self {
        let builder = Cache::<K, V>::builder().max_keys(capacity);
        let mut builder = builder.hasher(crate::hasher());
        if TTL {
            builder = builder.ttl(Duration::from_secs(3600));
        }
        if ADAPTIVE {
            builder = builder.policy(Policy::Adaptive);
        }
        if WEIGHED > 0 {
            builder = builder
                .max_weight(capacity as u64 * WEIGHED)
                .weigher(|_, _| WEIGHT);
        }
        if TICKING {
            builder = builder.clock(Clock::ticking(Duration::from_millis(10)));
        }
        Self(
            builder
                .build()
                .expect("the workloads use capacities above zero"),
        )
    }

    fn share(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }

    #[inline]
    fn get(&mut self, key: &K) -> Option<V> {
        self.0.get(key.lookup())
    }

    #[inline]
    fn read_with<R>(&mut self, key: &K, read: impl FnOnce(&V) -> R) -> Option<R> {
        self.0.get_with(key.lookup(), read)
    }

    #[inline]
    fn get_many(&mut self, keys: &[K], each: impl FnMut(Option<V>)) {
        self.0
            .get_many(keys.iter().map(Key::lookup))
            .into_iter()
            .for_each(each);
    }

    #[inline]
    fn insert(&mut self, key: K, value: V) {
        self.0.insert(key, value);
    }
}
