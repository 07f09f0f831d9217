//! What all calls that load have in common.

use super::flight::Circular;
use super::loaded::Loaded;
use super::table::{Joined, Leader};
use crate::cache::Cache;
use crate::cache::lifetime::Lifetime;
use crate::core::Gate;
use crate::error::Error;
use crate::flights;
use equivalent::Equivalent;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, Hash};

/// Why a load has no value.
#[derive(Debug)]
pub(super) enum Failure<E> {
    /// The caller's own loader failed.
    Loader(E),
    Circular,
}

impl<E> From<Circular> for Failure<E> {
    fn from(Circular: Circular) -> Self {
        Self::Circular
    }
}

impl<E: From<Error>> Failure<E> {
    pub(super) fn into_error(self, operation: &'static str) -> E {
        match self {
            Self::Loader(error) => error,
            Self::Circular => E::from(Error::circular(CIRCULAR).during(operation, None)),
        }
    }
}

impl Failure<Infallible> {
    /// For callers that cannot be told otherwise.
    #[track_caller]
    pub(super) fn panic(self, operation: &'static str) -> ! {
        match self {
            Self::Loader(never) => match never {},
            Self::Circular => panic!("{operation}: {CIRCULAR}"),
        }
    }
}

const CIRCULAR: &str =
    "a loader asks for the key that it loads, or for one whose loader waits for it";

/// What was loaded goes in unless a write has overtaken the load, and a write that comes meanwhile waits.
impl<K, V> Gate for Leader<'_, K, V> {
    fn pass<R>(&self, attempt: impl FnOnce() -> R) -> Option<R> {
        self.store(attempt)
    }
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher> Cache<K, V, S> {
    /// The value of a key that was not there: loaded, or what another caller loads.
    pub(super) async fn load<Q, E, F>(&self, key: &Q, load: F) -> Result<V, Failure<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        loop {
            match self.join_load(key) {
                Joined::Leads(leader) => {
                    return match self.peek(key) {
                        Some(value) => Ok(value),
                        None => {
                            let value = self.lead(key, &leader, load).await?;
                            leader.end(|| value.clone());
                            Ok(value)
                        }
                    };
                }
                Joined::Follows(flight) => {
                    if let Some(answer) = flight.answer().await? {
                        self.inner.loading.coalesced();
                        return Ok(V::clone(&answer));
                    }
                }
            }
            if let Some(value) = self.peek(key) {
                return Ok(value);
            }
        }
    }

    /// Runs the loader, and stores its value unless a write was faster.
    async fn lead<Q, E, F>(
        &self,
        key: &Q,
        leader: &Leader<'_, K, V>,
        load: F,
    ) -> Result<V, Failure<E>>
    where
        Q: ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<Loaded<V>, E>>,
    {
        let mut timer = self.inner.loading.begin();
        let load = timer.run_async(load);
        match flights::inside(&[leader.node()], load).await {
            Ok(loaded) => {
                timer.succeeded();
                let value = loaded.value.clone();
                self.store_loaded(leader, || key.to_owned(), loaded);
                Ok(value)
            }
            Err(error) => {
                timer.failed();
                Err(Failure::Loader(error))
            }
        }
    }

    /// Stores what was loaded where nothing is, unless a write has overtaken the load.
    pub(super) fn store_loaded(
        &self,
        leader: &Leader<'_, K, V>,
        key: impl FnOnce() -> K,
        Loaded { value, ttl }: Loaded<V>,
    ) {
        let lifetime = ttl.map(Lifetime::new);
        if lifetime == Some(None) {
            return;
        }
        // A value that is not stored is dropped here, outside of the locks.
        let _ = self.put_where(key(), value, lifetime.flatten(), false, leader);
    }

    /// Leads the load of a key, or follows its leader.
    pub(super) fn join_load<Q>(&self, key: &Q) -> Joined<'_, K, V>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let hash = self.inner.route(key).spread();
        let is_it = |other: &K| key.equivalent(other);
        self.inner.loads.join(hash, is_it, || key.to_owned())
    }
}
