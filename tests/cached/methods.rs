//! Methods, and functions in other places than modules.

use crate::Runs;
use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, cached};
use std::sync::Arc;

#[derive(Clone)]
struct Users {
    tenant: String,
    cache: Arc<dyn CacheBackend>,
    runs: Arc<Runs>,
}

impl Users {
    fn new(tenant: &str, cache: &Arc<dyn CacheBackend>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            cache: Arc::clone(cache),
            runs: Arc::default(),
        }
    }

    /// The name of a user.
    #[cached(key = "{self.tenant}:user:{id}", backend = self.cache)]
    pub async fn name(&self, id: u64) -> Result<String, std::fmt::Error> {
        Ok(format!("{}'s {id}, {}", self.tenant, self.runs.next()))
    }

    #[cached(skip(self), backend = self.cache.clone())]
    async fn owned(self: Arc<Self>, id: u64) -> usize {
        self.runs.next() + id as usize
    }

    #[cached(key = "made", backend = *cache, associated, skip(cache))]
    async fn made(cache: &MemoryCacheBackend) -> u8 {
        Self::one()
    }

    #[cached(backend = this.cache, key = format!("of:{}", this.tenant))]
    async fn of(this: &Self) -> usize {
        this.runs.next()
    }

    fn one() -> u8 {
        1
    }
}

/// Has a method of the same name in the same module.
struct Others<T>(Arc<dyn CacheBackend>, T);

impl<T: Copy + Into<usize> + Sync + Send> Others<T> {
    #[cached(skip(self), backend = self.0)]
    async fn owned(&self, id: u64) -> usize {
        self.1.into() + id as usize
    }
}

fn cache() -> Arc<dyn CacheBackend> {
    Arc::new(MemoryCacheBackend::new(100))
}

#[tokio::test]
async fn methods_say_what_of_self_is_in_the_key() {
    let cache = cache();
    let (a, b) = (Users::new("a", &cache), Users::new("b", &cache));
    for _ in 0..2 {
        assert_eq!(a.name(1).await.unwrap(), "a's 1, 1");
        assert_eq!(b.name(1).await.unwrap(), "b's 1, 1");
    }
    assert_eq!(a.name_cache_key(1), "a:user:1");
    assert!(cache.get::<String>("b:user:1").await.unwrap().is_some());
    assert!(a.name_cache_remove(1).await.unwrap());
    assert_eq!(a.name(1).await.unwrap(), "a's 1, 2");
    assert_eq!(a.name_uncached(1).await.unwrap(), "a's 1, 3");
    assert_eq!(b.name(1).await.unwrap(), "b's 1, 1");
    let spawned = tokio::spawn(async move {
        let name = b.name(1).await.unwrap();
        b.name_cache_remove(1).await.unwrap();
        name
    });
    assert_eq!(spawned.await.unwrap(), "b's 1, 1");
}

#[tokio::test]
async fn what_does_not_depend_on_self_leaves_it_out() {
    let cache = cache();
    let (a, b) = (Users::new("a", &cache), Users::new("b", &cache));
    assert_eq!(Arc::new(a.clone()).owned(7).await, 8);
    assert_eq!(Arc::new(b.clone()).owned(7).await, 8);
    assert_eq!((a.runs.count(), b.runs.count()), (1, 0));
    let key = Arc::new(a).owned_cache_key(7);
    assert_eq!(key, "cached::methods::Users::owned(7)");

    // The key has the type, and its parameters.
    assert_eq!(Others(Arc::clone(&cache), 1_u8).owned(7).await, 8);
    assert_eq!(Others(Arc::clone(&cache), 2_u16).owned(7).await, 9);
    let key = Others(cache, 1_u8).owned_cache_key(7);
    assert_eq!(key, "cached::methods::Others<u8>::owned(7)");
}

#[tokio::test]
async fn associated_functions_are_cached_too() {
    let memory = MemoryCacheBackend::new(10);
    assert_eq!(Users::made(&memory).await, 1);
    assert_eq!(memory.get("made").await.unwrap(), Some(1));
    assert!(Users::made_cache_remove(&memory).await.unwrap());

    let users = Users::new("a", &cache());
    assert_eq!(Users::of(&users).await, 1);
    assert_eq!(Users::of(&users).await, 1);
    assert_eq!(Users::of_cache_key(&users), "of:a");
}

mod inner {
    use super::*;

    /// Seen by all who see the module.
    #[must_use]
    #[cached]
    pub async fn public(n: u8) -> u8 {
        n
    }

    #[cached]
    pub(super) fn restricted(n: u8) -> u8 {
        n
    }

    // It is not there, and neither is what comes with it: `u0` is no type.
    #[cached]
    #[cfg(any())]
    pub fn absent(n: u0) -> u0 {
        n
    }
}

#[tokio::test]
async fn what_comes_beside_a_function_is_seen_by_the_same() {
    assert_eq!(inner::public(1).await, 1);
    assert_eq!(inner::public_uncached(1).await, 1);
    assert_eq!(
        inner::public_cache_key(1),
        "cached::methods::inner::public(1)"
    );
    assert!(inner::public_cache_remove(1).await.unwrap());
    assert_eq!(inner::restricted(1), inner::restricted_uncached(1));
    assert_eq!(inner::restricted_cache_key(1), 1);
    assert!(inner::restricted_cache_remove(1));
    assert!(inner::restricted_cache().is_empty());
}
