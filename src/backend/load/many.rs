//! [`CacheBackendExt::get_or_load_many`](crate::backend::CacheBackendExt::get_or_load_many): one call of a loader for many keys.
//!
//! 1. Look at all keys at once.
//! 2. Join the loads of those that are missing. Lead those that nobody loads, and look at these once more: another load may have ended
//!    since.
//! 3. Call the loader, once, for what is led and still missing.
//! 4. Store what it brought, at once, except what a write has overtaken; answer those who follow.
//! 5. Wait for the keys that others load. What is missing because its leader gave up goes back to step 2.
//!
//! A store that is down keeps neither the loader from running nor its callers from what it brings, unless the backend is strict.
//!
//! [`Flights`](crate::backend::Flights) says why nobody waits in a circle, and why a write wins.

use super::entry::both;
use crate::backend::flights::{Event, Joined, Leader, Load, Scope, Stuck, Work};
use crate::backend::stats::Operation;
use crate::backend::tag::{self, Tag};
use crate::backend::typed::{read, tags};
use crate::backend::{CacheBackend, Cacheable, Flights, Value};
use crate::error::Error;
use crate::time::Ttl;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

const OPERATION: &str = "get_or_load_many";

/// Keys by what they are, each with its position.
type Positions<'k> = HashMap<&'k str, usize, ahash::RandomState>;

pub(in crate::backend) async fn get_or_load_many<'k, B, T, K, I, E, F, Fut>(
    backend: &B,
    keys: &[&'k str],
    ttl: Ttl,
    mut f: F,
) -> Result<Vec<Option<T>>, Error>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
    K: AsRef<str> + Send,
    I: IntoIterator<Item = (K, T)>,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    F: FnMut(Vec<&'k str>) -> Fut + Send,
    Fut: Future<Output = Result<I, E>> + Send,
{
    let (unique, places) = without_repetitions(keys);
    let mut call = Call::begin(backend, &unique, ttl).await?;
    while !call.missing.is_empty() || !call.alone.is_empty() {
        let (led, followed) = call.join().await?;
        let wanted = call.wanted(&led);
        let loaded = if wanted.is_empty() {
            Ok(Vec::new())
        } else {
            call.load(&mut f, &wanted).await
        };
        call.end(led, &wanted, loaded).await?;
        // Only now, so that two who want the same keys do not wait for each other.
        call.follow(followed).await?;
    }
    Ok(spread(call.values, &places))
}

/// One call, in which each key is there once.
struct Call<'c, 'k, B: ?Sized, T> {
    backend: &'c B,
    keys: &'c [&'k str],
    ttl: Ttl,
    values: Vec<Option<T>>,
    /// What is to be loaded by somebody.
    missing: Vec<usize>,
    /// What is to be loaded here, whoever else loads it, and not to be stored.
    alone: Vec<usize>,
    /// Those of the backend, with the versions that they had before the loader ran. `None` if these are not known: then nothing is stored.
    tags: Option<Box<[Tag]>>,
    /// One for all the leaders that may give up before one of them ends.
    deadline: Option<Instant>,
}

/// A key that this call loads for all who ask.
struct Led<'f> {
    at: usize,
    leader: Leader<&'f Flights>,
    /// What lies there and is no value to this call: it cannot be decoded, or is kept beyond its time.
    replaced: Option<Value>,
}

/// A key that somebody else loads.
struct Followed {
    at: usize,
    load: Arc<Load>,
}

/// A value that was loaded.
struct Loaded {
    /// For all who wait.
    answer: Value,
    stored: Value,
}

impl<'c, 'k, B, T> Call<'c, 'k, B, T>
where
    B: CacheBackend + ?Sized,
    T: Cacheable,
{
    /// Looks at all keys.
    async fn begin(backend: &'c B, keys: &'c [&'k str], ttl: Ttl) -> Result<Self, Error> {
        let found = look(backend, keys).await.map_err(named)?;
        let mut values: Vec<Option<T>> = Vec::with_capacity(keys.len());
        for ((found, is_live), key) in found.into_iter().zip(keys) {
            values.push(match found {
                Some(value) if is_live => read::or_miss(backend, OPERATION, key, value.to())?,
                _ => None,
            });
        }
        // A store that answers too little has lost the rest.
        values.resize(keys.len(), None);
        let is_missing = |at: &usize| values[*at].is_none();
        let missing = (0..keys.len()).filter(is_missing).collect();
        Ok(Self {
            backend,
            keys,
            ttl,
            values,
            missing,
            alone: Vec::new(),
            tags: Some(Box::default()),
            deadline: None,
        })
    }

    /// Joins the loads of what is missing, and looks at what this one leads once more.
    async fn join(&mut self) -> Result<(Vec<Led<'c>>, Vec<Followed>), Error> {
        let flights = self.backend.flights();
        let (mut led, mut followed) = (Vec::new(), Vec::new());
        for at in std::mem::take(&mut self.missing) {
            let key = self.keys[at];
            tag::check_key(key).map_err(named)?;
            // Part of what loads this very key: it must not wait for itself.
            if flights.is_nested(key).map_err(of(key))? {
                self.alone.push(at);
                continue;
            }
            match Flights::join(flights, key) {
                Joined::Leads(leader) => led.push((at, leader)),
                Joined::Follows(load) => followed.push(Followed { at, load }),
            }
        }
        Ok((self.look_again(led).await?, followed))
    }

    /// What is still missing of the keys that this one leads. What is found is not for those who follow: a write that began before we led
    /// may be about to remove it, and they may come after that. So they look for themselves.
    async fn look_again(
        &mut self,
        led: Vec<(usize, Leader<&'c Flights>)>,
    ) -> Result<Vec<Led<'c>>, Error> {
        if led.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<&str> = led.iter().map(|(at, _)| self.keys[*at]).collect();
        let found = match look(self.backend, &keys).await {
            Ok(found) => found,
            Err(error) => {
                for (at, leader) in led {
                    leader.end(Err(of(self.keys[at])(error.clone())));
                }
                return Err(named(error));
            }
        };
        let missed = found.iter().filter(|(found, _)| found.is_none()).count();
        let flights = self.backend.flights();
        flights.miss_again(Operation::GetMany, missed as u64);
        let mut missing = Vec::with_capacity(led.len());
        let found = found.into_iter().chain(repeat_none());
        for ((at, leader), (found, is_live)) in led.into_iter().zip(found) {
            let replaced = match found {
                None => None,
                Some(found) if !is_live => Some(found),
                Some(found) => match found.to() {
                    Ok(value) => {
                        self.values[at] = Some(value);
                        continue;
                    }
                    Err(error) if self.backend.is_strict() => {
                        return Err(of(self.keys[at])(error));
                    }
                    // What we came upon before, most likely, and counted then.
                    Err(_) => Some(found),
                },
            };
            missing.push(Led {
                at,
                leader,
                replaced,
            });
        }
        Ok(missing)
    }

    /// The keys that the loader is to load: those that are led, and those that are loaded alone.
    fn wanted(&self, led: &[Led<'_>]) -> Vec<&'k str> {
        let led = led.iter().map(|led| led.at);
        let all = led.chain(self.alone.iter().copied());
        all.map(|at| self.keys[at]).collect()
    }

    /// Calls the loader. Of two values for a key the first counts, and what was not asked for is dropped.
    async fn load<K, I, E, F, Fut>(
        &mut self,
        f: &mut F,
        wanted: &[&'k str],
    ) -> Result<Vec<Option<T>>, Error>
    where
        K: AsRef<str> + Send,
        I: IntoIterator<Item = (K, T)>,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
        F: FnMut(Vec<&'k str>) -> Fut + Send,
        Fut: Future<Output = Result<I, E>> + Send,
    {
        let flights = self.backend.flights();
        let _permit = flights.permit(wanted).await?;
        // Before the loader runs, so that what it gets is no older.
        self.tags = match tags::current::<_, &str>(self.backend, &[]).await {
            Ok(tags) => Some(tags),
            Err(error) if tolerates(self.backend, &error) => None,
            Err(error) => return Err(error),
        };
        // The loader may return an iterator that loads as it goes.
        let load = async {
            let loaded = f(wanted.to_vec()).await;
            loaded.map(|loaded| loaded.into_iter().collect::<Vec<(K, T)>>())
        };
        flights.tally().count(Event::Begun);
        // Run inside, so that a load of the same keys in `f` does not wait for this one.
        let loaded = flights.counted(flights.inside_all(Work::Load, wanted, load));
        let loaded = loaded.await;
        let loaded = loaded.map_err(|error| {
            flights.tally().count(Event::Failed);
            Error::load(error)
        })?;
        let positions = positions(wanted);
        let mut values = vec![None; wanted.len()];
        for (key, value) in loaded {
            if let Some(&at) = positions.get(key.as_ref()) {
                values[at].get_or_insert(value);
            }
        }
        Ok(values)
    }

    /// Stores what was loaded, answers those who follow, and keeps the values. Those who follow what was not loaded look again.
    async fn end(
        &mut self,
        led: Vec<Led<'_>>,
        wanted: &[&'k str],
        loaded: Result<Vec<Option<T>>, Error>,
    ) -> Result<(), Error> {
        let mut loaded = match loaded {
            Ok(loaded) => loaded.into_iter(),
            Err(error) => {
                for (led, key) in led.into_iter().zip(wanted) {
                    led.leader.end(Err(of(key)(error.clone())));
                }
                return Err(named(error));
            }
        };
        let mut failed = None;
        let mut storing = Storing::default();
        for (led, value) in led.into_iter().zip(&mut loaded) {
            let Some(value) = value else {
                continue;
            };
            let key = self.keys[led.at];
            let tags = self.tags.as_deref();
            let meta = tags.and_then(|tags| tags::beside(self.backend, tags));
            let loaded = both(self.backend, key, value.clone(), meta).map_err(of(key));
            match loaded {
                Ok((answer, stored)) => {
                    self.values[led.at] = Some(value);
                    storing.add(led, Loaded { answer, stored }, tags.is_some());
                }
                Err(error) => {
                    led.leader.end(Err(error.clone()));
                    failed.get_or_insert(error);
                }
            }
        }
        for (at, value) in std::mem::take(&mut self.alone).into_iter().zip(loaded) {
            self.values[at] = value;
        }
        storing.store(self.backend, self.keys, self.ttl).await?;
        failed.map_or(Ok(()), Err)
    }

    /// Waits for what others load.
    async fn follow(&mut self, followed: Vec<Followed>) -> Result<(), Error> {
        let flights = self.backend.flights();
        for Followed { at, load } in followed {
            let key = self.keys[at];
            let deadline = *self.deadline.get_or_insert_with(|| flights.deadline());
            match flights.answer(key, &load, deadline).await {
                Ok(Some(answer)) => {
                    let answer = answer?;
                    // Removed by a tag since it was looked for.
                    let holds = match tags::hold(self.backend, &answer).await {
                        Err(error) if tolerates(self.backend, &error) => false,
                        holds => holds.map_err(of(key))?,
                    };
                    if !holds {
                        self.missing.push(at);
                        continue;
                    }
                    let typed = answer.to();
                    self.values[at] = read::or_miss(self.backend, OPERATION, key, typed)?;
                    if self.values[at].is_none() {
                        // The leader loads something of another type.
                        self.alone.push(at);
                    }
                }
                // The leader gave up, or its loader has nothing for this key.
                Ok(None) => self.missing.push(at),
                // The leader waits for us.
                Err(Stuck::Circular) => self.alone.push(at),
                Err(Stuck::Late(error)) => return Err(of(key)(error)),
            }
        }
        Ok(())
    }
}

/// What is about to be stored, and whom it is for.
#[derive(Default)]
struct Storing<'f> {
    entries: Vec<(Led<'f>, Loaded)>,
}

impl<'f> Storing<'f> {
    /// Answers at once where a write has overtaken the load, or nothing may be stored.
    fn add(&mut self, led: Led<'f>, loaded: Loaded, may_be_stored: bool) {
        if may_be_stored && led.leader.may_store() {
            self.entries.push((led, loaded));
        } else {
            led.leader.end(Ok(loaded.answer));
        }
    }

    async fn store<B>(self, backend: &B, keys: &[&str], ttl: Ttl) -> Result<(), Error>
    where
        B: CacheBackend + ?Sized,
    {
        if self.entries.is_empty() {
            return Ok(());
        }
        let writes = self.entries.iter().map(|(led, loaded)| {
            let expected = led.replaced.as_ref();
            (keys[led.at], expected, loaded.stored.clone())
        });
        // What another has stored meanwhile stays.
        let stored = backend.compare_and_set_many(writes.collect(), Some(ttl));
        let stored = match stored.await {
            Err(error) if tolerates(backend, &error) => {
                backend.flights().tally().count(Event::Unstored);
                Ok(())
            }
            stored => stored.map(drop),
        };
        for (led, loaded) in self.entries {
            let key = keys[led.at];
            backend.flights().failures().forget(Scope::Key(key));
            let answer = stored.clone().map(|()| loaded.answer);
            led.leader.end(answer.map_err(of(key)));
        }
        stored.map_err(named)
    }
}

/// Whether a load goes on although the store has failed with this: it is down, and the source may well be there.
fn tolerates<B: CacheBackend + ?Sized>(backend: &B, error: &Error) -> bool {
    let is_down = error.is_connection() || error.is_timeout() || error.is_rejected();
    is_down && !backend.is_strict()
}

/// An error of the whole call.
fn named(error: Error) -> Error {
    error.during(OPERATION, None)
}

/// An error of one key.
fn of(key: &str) -> impl Fn(Error) -> Error {
    move |error| error.during(OPERATION, Some(key))
}

/// What is under each key, and whether it is a value to those who only read; nothing while the store is down.
async fn look<B>(backend: &B, keys: &[&str]) -> Result<Vec<(Option<Value>, bool)>, Error>
where
    B: CacheBackend + ?Sized,
{
    let looked = async {
        let found = backend.get_values(keys).await?;
        let live = read::are_live(backend, &found).await?;
        Ok(found.into_iter().zip(live).collect())
    };
    match looked.await {
        Err(error) if tolerates(backend, &error) => Ok(Vec::new()),
        looked => looked,
    }
}

fn repeat_none() -> impl Iterator<Item = (Option<Value>, bool)> {
    std::iter::repeat_with(|| (None, false))
}

fn positions<'k>(keys: &[&'k str]) -> Positions<'k> {
    let numbered = keys.iter().enumerate();
    numbered.map(|(at, key)| (*key, at)).collect()
}

/// Each key once, in the order in which they come first, and where among these each key is.
fn without_repetitions<'k>(keys: &[&'k str]) -> (Vec<&'k str>, Vec<usize>) {
    let mut first = Positions::default();
    let mut unique = Vec::with_capacity(keys.len());
    let places = keys.iter().map(|key| {
        *first.entry(key).or_insert_with(|| {
            unique.push(*key);
            unique.len() - 1
        })
    });
    let places = places.collect();
    (unique, places)
}

/// The values for all keys, of those for each key once.
fn spread<T: Clone>(values: Vec<Option<T>>, places: &[usize]) -> Vec<Option<T>> {
    if values.len() == places.len() {
        return values;
    }
    places.iter().map(|&at| values[at].clone()).collect()
}
