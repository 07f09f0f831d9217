//! Loading many keys with one call.

use super::call::Failure;
use super::flight::Flight;
use super::loaded::Loaded;
use super::table::{Joined, Leader};
use crate::cache::Cache;
use crate::error::Error;
use crate::flights::{self, block_on};
use equivalent::Equivalent;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

impl<K: Hash + Eq, V: Clone, S: BuildHasher> Cache<K, V, S> {
    /// The values under `keys`, in their order; those that are missing are loaded with one call of `load`, which gets each of them once
    /// and returns pairs. A key that it does not return is `None`, and nothing is stored for it. What it returns beyond the keys that it
    /// was given is dropped. Where `load` says how long values are to live, it returns a [`Loaded`] for each.
    ///
    /// A key that another caller loads is not given to `load`: when `load` is done, that other's value is waited for. If that caller gives
    /// up, `load` is called once more, for what is missing by then. For each key all else is as for
    /// [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// # Panics
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    ///
    /// ```
    /// use nori_cache::{Cache, Loaded};
    /// use std::time::Duration;
    ///
    /// let cache: Cache<u32, String> = Cache::new(100);
    /// cache.insert(1, "one".to_owned());
    /// let found = cache.get_or_load_many(&[1, 2, 3], |missing| {
    ///     assert_eq!(missing, [&2, &3]);
    ///     vec![(2, "two".to_owned())]
    /// });
    /// assert_eq!(found, [Some("one".to_owned()), Some("two".to_owned()), None]);
    ///
    /// let minute = Duration::from_secs(60);
    /// cache.get_or_load_many(&[3], |_| [(3, Loaded::new("three".to_owned()).ttl(minute))]);
    /// assert!(cache.ttl(&3).is_some());
    /// ```
    pub fn get_or_load_many<'q, Q, P, L>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> P,
    ) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized + 'q,
        P: IntoIterator<Item = (K, L)>,
        L: Into<Loaded<V>>,
    {
        let load = |missing| {
            let loaded = load(missing);
            async { Ok::<_, Infallible>(loaded) }
        };
        block_on(self.load_many(keys, load))
            .unwrap_or_else(|failure: Failure<Infallible>| failure.panic("get_or_load_many"))
    }

    /// As [`get_or_load_many`](Self::get_or_load_many), with a loader that may fail.
    ///
    /// # Errors
    /// As [`try_get_or_insert_with`](Self::try_get_or_insert_with). Nothing of what the failed call was to load is stored.
    pub fn try_get_or_load_many<'q, Q, P, L, E>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> Result<P, E>,
    ) -> Result<Vec<Option<V>>, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized + 'q,
        P: IntoIterator<Item = (K, L)>,
        L: Into<Loaded<V>>,
        E: From<Error>,
    {
        let load = |missing| {
            let loaded = load(missing);
            async { loaded }
        };
        let loaded = block_on(self.load_many(keys, load));
        loaded.map_err(|failure| failure.into_error("try_get_or_load_many"))
    }

    /// As [`get_or_load_many`](Self::get_or_load_many), with an async loader.
    ///
    /// # Cancel safety
    /// As [`get_or_insert_async`](Self::get_or_insert_async).
    ///
    /// # Panics
    /// As [`get_or_insert_with`](Self::get_or_insert_with).
    pub async fn get_or_load_many_async<'q, Q, P, L, F>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> F,
    ) -> Vec<Option<V>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized + 'q,
        P: IntoIterator<Item = (K, L)>,
        L: Into<Loaded<V>>,
        F: Future<Output = P>,
    {
        let load = |missing| {
            let loaded = load(missing);
            async { Ok::<_, Infallible>(loaded.await) }
        };
        let loaded = self.load_many(keys, load).await;
        loaded
            .unwrap_or_else(|failure: Failure<Infallible>| failure.panic("get_or_load_many_async"))
    }

    /// As [`get_or_load_many_async`](Self::get_or_load_many_async), with a loader that may fail.
    ///
    /// # Cancel safety
    /// As [`get_or_insert_async`](Self::get_or_insert_async).
    ///
    /// # Errors
    /// As [`try_get_or_load_many`](Self::try_get_or_load_many).
    pub async fn try_get_or_load_many_async<'q, Q, P, L, E, F>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        load: impl FnMut(Vec<&'q Q>) -> F,
    ) -> Result<Vec<Option<V>>, E>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized + 'q,
        P: IntoIterator<Item = (K, L)>,
        L: Into<Loaded<V>>,
        E: From<Error>,
        F: Future<Output = Result<P, E>>,
    {
        let loaded = self.load_many(keys, load).await;
        loaded.map_err(|failure| failure.into_error("try_get_or_load_many_async"))
    }

    async fn load_many<'q, Q, P, L, E, F>(
        &self,
        keys: impl IntoIterator<Item = &'q Q>,
        mut load: impl FnMut(Vec<&'q Q>) -> F,
    ) -> Result<Vec<Option<V>>, Failure<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized + 'q,
        P: IntoIterator<Item = (K, L)>,
        L: Into<Loaded<V>>,
        F: Future<Output = Result<P, E>>,
    {
        let keys: Vec<&'q Q> = keys.into_iter().collect();
        let mut values = self.get_many(keys.iter().copied());
        let mut missing: Vec<usize> = (0..keys.len()).filter(|&at| values[at].is_none()).collect();
        while !missing.is_empty() {
            // 1. Lead what nobody loads.
            let mut joined = self.join_many(&keys, &missing, &mut values);
            // 2. Load all of that with one call.
            if !joined.led.is_empty() {
                let wanted = joined.led.iter().map(|(at, _)| keys[*at]).collect();
                let led = std::mem::take(&mut joined.led);
                // Called inside, as its future is polled.
                self.lead_many(&keys, &mut values, led, async { load(wanted).await })
                    .await?;
            }
            for (at, first) in joined.repeated {
                values[at] = values[first].clone();
            }
            // 3. Wait for what others load. Only now, so that two who want the same keys do not wait for each other.
            missing.clear();
            for (at, flight) in joined.followed {
                match flight.answer().await? {
                    Some(answer) => {
                        self.inner.loading.coalesced();
                        values[at] = Some(V::clone(&answer));
                    }
                    None => {
                        values[at] = self.peek(keys[at]);
                        if values[at].is_none() {
                            missing.push(at);
                        }
                    }
                }
            }
        }
        Ok(values)
    }

    fn join_many<Q>(
        &self,
        keys: &[&Q],
        missing: &[usize],
        values: &mut [Option<V>],
    ) -> JoinedMany<'_, K, V>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        let mut joined = JoinedMany {
            led: Vec::new(),
            repeated: Vec::new(),
            followed: Vec::new(),
        };
        // By the address of the flight, which its leader keeps in memory.
        let mut own = HashMap::<usize, usize, ahash::RandomState>::default();
        for &at in missing {
            match self.join_load(keys[at]) {
                Joined::Leads(leader) => {
                    // Another load may have ended since the look.
                    values[at] = self.peek(keys[at]);
                    if values[at].is_none() {
                        own.insert(leader.address(), at);
                        joined.led.push((at, leader));
                    }
                }
                Joined::Follows(flight) => match own.get(&Arc::as_ptr(&flight).addr()) {
                    Some(&first) => joined.repeated.push((at, first)),
                    None => joined.followed.push((at, flight)),
                },
            }
        }
        joined
    }

    /// Runs the loader of all these, and stores what it returns.
    async fn lead_many<Q, P, L, E>(
        &self,
        keys: &[&Q],
        values: &mut [Option<V>],
        mut led: Vec<(usize, Leader<'_, K, V>)>,
        load: impl Future<Output = Result<P, E>>,
    ) -> Result<(), Failure<E>>
    where
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
        P: IntoIterator<Item = (K, L)>,
        L: Into<Loaded<V>>,
    {
        let mut timer = self.inner.loading.begin();
        let nodes: Vec<_> = led.iter().map(|(_, leader)| leader.node()).collect();
        let load = timer.run_async(load);
        let loaded = match flights::inside(&nodes, load).await {
            Ok(loaded) => loaded,
            Err(error) => {
                timer.failed();
                return Err(Failure::Loader(error));
            }
        };
        // The loader may be an iterator that loads as it goes.
        let loaded: Vec<(K, L)> = timer.run(|| loaded.into_iter().collect());
        timer.succeeded();
        let mut wanted = HashMap::<u64, Vec<usize>, ahash::RandomState>::default();
        for (number, (at, _)) in led.iter().enumerate() {
            let hash = self.inner.route(keys[*at]).spread();
            wanted.entry(hash).or_default().push(number);
        }
        for (key, loaded) in loaded {
            let hash = self.inner.route(&key).spread();
            let candidates = wanted.get(&hash).into_iter().flatten();
            let mut candidates = candidates.map(|&number| &led[number]);
            let Some((at, leader)) = candidates.find(|(at, _)| keys[*at].equivalent(&key)) else {
                continue;
            };
            // Of two values for a key the first counts.
            if values[*at].is_none() {
                let loaded = loaded.into();
                values[*at] = Some(loaded.value.clone());
                self.store_loaded(leader, || key, loaded);
            }
        }
        for (at, leader) in led.drain(..) {
            match &values[at] {
                Some(value) => leader.end(|| value.clone()),
                None => drop(leader),
            }
        }
        Ok(())
    }
}

/// What a caller is to the loads of many keys, each by its position.
struct JoinedMany<'t, K, V> {
    led: Vec<(usize, Leader<'t, K, V>)>,
    /// Keys that came before, and where.
    repeated: Vec<(usize, usize)>,
    followed: Vec<(usize, Arc<Flight<K, V>>)>,
}
