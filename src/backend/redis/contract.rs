//! The contract, call by call.

use super::RedisCacheBackend;
use super::command::{self, Key, LeaseKey, Lifetime, Scripted, lease_of};
use super::event::{CallSpan, Subject};
use super::script::{COMPARE_AND_SET, INCR};
use super::servers::{self, Replay};
use crate::backend::coherence::validity::Coverage;
use crate::backend::lease::Leases;
use crate::backend::stats::{Found, Operation};
use crate::backend::{
    BackendFuture, BackendStats, CacheBackend, Codec, Flights, LoadOptions, Value, alarm,
};
use crate::error::Error;
use crate::time::Ttl;
use redis::Cmd;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

/// What was found under a key, or that there is nothing.
pub(in crate::backend) struct Fetched {
    pub(in crate::backend) value: Option<Value>,
    /// `None` if no copy may be kept.
    pub(in crate::backend) terms: Option<CopyTerms>,
}

/// How a copy may be kept.
pub(in crate::backend) struct CopyTerms {
    /// How long the entry had to live yet, after it was asked for.
    pub(in crate::backend) ttl: Ttl,
    /// Of the connection by which it came. `None` if nothing is announced by that.
    pub(in crate::backend) coverage: Option<Arc<Coverage>>,
}

impl Found for Fetched {
    fn found(&self) -> (u64, u64) {
        self.value.is_some().found()
    }
}

impl Found for Vec<Fetched> {
    fn found(&self) -> (u64, u64) {
        let hits = self.iter().filter(|it| it.value.is_some()).count();
        (hits as u64, (self.len() - hits) as u64)
    }
}

impl RedisCacheBackend {
    /// As `get_value`, with what a copy needs.
    pub(in crate::backend) fn fetch<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Fetched> {
        self.call(Operation::Get, Some(key), move || async move {
            let fetched = self.servers.fetch(self.key(key)).await?;
            self.fetched(key, fetched)
        })
    }

    /// As [`fetch`](Self::fetch), of a few keys, in their order.
    pub(in crate::backend) fn fetch_few<'a>(
        &'a self,
        keys: &'a [&'a str],
    ) -> BackendFuture<'a, Vec<Fetched>> {
        self.call_many(Operation::GetMany, keys.len(), move || async move {
            let fetched = self.servers.fetch_each(&self.keys(keys)).await;
            let fetched = fetched.into_iter().zip(keys).map(|(fetched, key)| {
                let fetched = fetched.and_then(|fetched| self.fetched(key, fetched));
                fetched.map_err(|error| error.during("get_many", Some(key)))
            });
            fetched.collect()
        })
    }

    fn fetched(&self, key: &str, fetched: servers::Fetched) -> Result<Fetched, Error> {
        let value = self.found(key, command::value(fetched.value)?);
        let ttl = match (&fetched.pttl, &value) {
            (None, _) => None,
            (Some(_), None) => Some(Ttl::Never),
            // None where there is a value: it has gone in between.
            (Some(pttl), Some(_)) => command::ttl(pttl)?,
        };
        let terms = ttl.map(|ttl| CopyTerms {
            ttl,
            coverage: fetched.coverage,
        });
        Ok(Fetched { value, terms })
    }

    pub(super) fn key<'k>(&'k self, key: &'k str) -> Key<'k> {
        Key {
            prefix: &self.prefix,
            key,
        }
    }

    fn keys<'k>(&'k self, keys: &[&'k str]) -> Vec<Key<'k>> {
        keys.iter().map(|key| self.key(key)).collect()
    }

    /// What was found under a key.
    pub(super) fn found(&self, key: &str, value: Option<Value>) -> Option<Value> {
        value.map(|value| self.codec.found(key, value))
    }

    /// Removes a key, and its lease before that: see `lease`.
    async fn remove(&self, key: Key<'_>) -> Result<bool, Error> {
        let both = vec![
            (key, command::unlink_lease(lease_of(key))),
            (key, command::unlink(key)),
        ];
        let answers = self.servers.write_each("delete", both).await?;
        Ok(answers.last().map(command::integer).transpose()? == Some(1))
    }

    /// A call on one key, or on no particular one.
    pub(super) fn call<'a, T: Found + 'a, F>(
        &'a self,
        operation: Operation,
        key: Option<&'a str>,
        work: impl FnOnce() -> F + Send + 'a,
    ) -> BackendFuture<'a, T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'a,
    {
        let subject = match key {
            Some(key) => Subject::Key(self.flights.traced(key)),
            None => Subject::Nothing,
        };
        self.watched(operation, subject, key, work)
    }

    /// A call on so many keys.
    fn call_many<'a, T: Found + 'a, F>(
        &'a self,
        operation: Operation,
        keys: usize,
        work: impl FnOnce() -> F + Send + 'a,
    ) -> BackendFuture<'a, T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'a,
    {
        self.watched(operation, Subject::Keys(keys), None, work)
    }

    /// A call: counted and timed, with a span, not after closing, and its errors name the operation and the key.
    ///
    /// The work is made where it is done: a future that is moved into another takes its place twice.
    fn watched<'a, T: Found + 'a, F>(
        &'a self,
        operation: Operation,
        subject: Subject<'a>,
        key: Option<&'a str>,
        work: impl FnOnce() -> F + Send + 'a,
    ) -> BackendFuture<'a, T>
    where
        F: Future<Output = Result<T, Error>> + Send + 'a,
    {
        BackendFuture::boxed(async move {
            let call = self.calls.begin(operation);
            let span = CallSpan::new(operation, subject, self.servers.endpoint());
            let answer = match self.gate.enter() {
                Ok(_inside) => span.around(pin!(work())).await,
                Err(closed) => Err(closed),
            };
            if let Err(error) = &answer {
                span.failed(error);
            }
            call.end(&answer);
            answer.map_err(|error| error.during(operation.in_errors(), key))
        })
    }
}

impl CacheBackend for RedisCacheBackend {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.call(Operation::Get, Some(key), move || async move {
            let on_server = self.key(key);
            let get = command::get(on_server);
            let answer = self.servers.send(on_server, &get, Replay::Safe);
            Ok(self.found(key, command::value(answer.await?)?))
        })
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        if Lifetime::from(ttl) == Lifetime::None {
            return self.call(Operation::Set, Some(key), move || async move {
                // A value that cannot be stored is an error whatever becomes of it.
                self.codec.to_stored(key, &value)?.encode()?;
                self.remove(self.key(key)).await.map(drop)
            });
        }
        self.call(Operation::Set, Some(key), move || async move {
            let value = self.codec.to_stored(key, &value)?;
            let key = self.key(key);
            let set = command::set(key, &value.encode()?, ttl);
            if Lifetime::from(ttl) == Lifetime::None {
                return self.remove(key).await.map(drop);
            }
            self.servers.write(key, &set).await.map(drop)
        })
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.call(Operation::Delete, Some(key), move || async move {
            self.remove(self.key(key)).await
        })
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.call(Operation::Flush, None, || self.servers.flush(&self.prefix))
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.call(Operation::Incr, Some(key), move || async move {
            let key = self.key(key);
            let incr = Scripted::incr(&INCR, key, by, ttl);
            command::integer(&self.servers.run_write(key, &incr).await?)
        })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.call(Operation::CompareAndSet, Some(key), move || async move {
            let new = self.codec.to_stored(key, &new)?;
            let key = self.key(key);
            let expected = expected.map(Value::encode).transpose()?;
            let (expected, new) = (expected.as_deref(), new.encode()?);
            let update = Scripted::compare_and_set(&COMPARE_AND_SET, key, expected, &new, ttl);
            Ok(command::integer(&self.servers.run_write(key, &update).await?)? == 1)
        })
    }

    fn compare_and_set_many<'a>(
        &'a self,
        entries: Vec<(&'a str, Option<&'a Value>, Value)>,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, Vec<bool>> {
        const OPERATION: &str = "compare_and_set_many";
        self.call_many(
            Operation::CompareAndSet,
            entries.len(),
            move || async move {
                let updates: Result<Vec<(Key<'_>, Scripted)>, Error> = entries
                    .into_iter()
                    .map(|(key, expected, new)| {
                        let of_key = |error: Error| error.during(OPERATION, Some(key));
                        let on_server = self.key(key);
                        let new = self.codec.to_stored(key, &new).map_err(of_key)?;
                        let expected = expected.map(Value::encode).transpose().map_err(of_key)?;
                        let (expected, new) = (expected.as_deref(), new.encode().map_err(of_key)?);
                        let update = Scripted::compare_and_set(
                            &COMPARE_AND_SET,
                            on_server,
                            expected,
                            &new,
                            ttl,
                        );
                        Ok((on_server, update))
                    })
                    .collect();
                let answers = self.servers.run_each(OPERATION, updates?).await?;
                let stored = answers
                    .iter()
                    .map(|answer| Ok(command::integer(answer)? == 1));
                stored.collect()
            },
        )
    }

    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        self.call_many(Operation::GetMany, keys.len(), move || async move {
            let on_server = self.keys(keys);
            let at_once = self.servers.send_at_once("MGET", &on_server, Replay::Safe);
            let values = match at_once.await {
                Some(answers) => command::values(answers?, keys.len())?,
                None => {
                    let gets = on_server.into_iter().map(|key| (key, command::get(key)));
                    let each = self.servers.read_each("get_many", gets.collect());
                    let values = each.await?.into_iter().map(command::value);
                    values.collect::<Result<Vec<_>, _>>()?
                }
            };
            let values = values.into_iter().zip(keys);
            Ok(values.map(|(value, key)| self.found(key, value)).collect())
        })
    }

    fn set_values<'a>(&'a self, entries: Vec<(&'a str, Value)>, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.call_many(Operation::SetMany, entries.len(), move || async move {
            let sets: Result<Vec<(Key<'_>, Cmd)>, Error> = entries
                .into_iter()
                .map(|(key, value)| {
                    let on_server = self.key(key);
                    let stored = self.codec.to_stored(key, &value);
                    let set = stored
                        .and_then(|stored| Ok(command::set(on_server, &stored.encode()?, ttl)));
                    match set {
                        Ok(set) => Ok((on_server, set)),
                        Err(error) => Err(error.during("set_many", Some(key))),
                    }
                })
                .collect();
            let mut sets = sets?;
            if Lifetime::from(ttl) == Lifetime::None {
                // They are removals.
                let removals = sets.into_iter().flat_map(|(key, unlink)| {
                    [command::unlink_lease(lease_of(key)), unlink].map(|it| (key, it))
                });
                sets = removals.collect();
            }
            self.servers.write_each("set_many", sets).await.map(drop)
        })
    }

    fn delete_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, u64> {
        self.call_many(Operation::DeleteMany, keys.len(), move || async move {
            let keys = self.keys(keys);
            let leases: Vec<LeaseKey<'_>> = keys.iter().map(|key| lease_of(*key)).collect();
            let of_leases = self.servers.send_at_once("UNLINK", &leases, Replay::Unsafe);
            let answers = match of_leases.await {
                Some(answers) => {
                    answers?;
                    let at_once = self.servers.send_at_once("UNLINK", &keys, Replay::Unsafe);
                    at_once.await.unwrap_or_else(|| Ok(Vec::new()))?
                }
                None => {
                    let unlinks = leases.into_iter().zip(keys).flat_map(|(lease, key)| {
                        [command::unlink_lease(lease), command::unlink(key)].map(|it| (key, it))
                    });
                    let unlinks = unlinks.collect();
                    let each = self.servers.write_each("delete_many", unlinks);
                    // Every second one is of a key.
                    each.await?.into_iter().skip(1).step_by(2).collect()
                }
            };
            let removed = answers.iter().map(command::integer);
            removed.sum::<Result<i64, Error>>().map(i64::unsigned_abs)
        })
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.call(Operation::Ttl, Some(key), move || async move {
            let key = self.key(key);
            let pttl = command::pttl(key);
            command::ttl(&self.servers.send(key, &pttl, Replay::Safe).await?)
        })
    }

    fn default_ttl(&self) -> Ttl {
        self.default_ttl
    }

    fn codec(&self) -> Option<&Codec> {
        Some(&self.codec)
    }

    fn is_strict(&self) -> bool {
        self.is_strict
    }

    fn load_options(&self) -> &LoadOptions {
        &self.load_options
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn stats(&self) -> BackendStats {
        let mut stats = BackendStats::of(&self.flights);
        self.calls.add_to(&mut stats);
        stats.links = self.servers.links();
        stats
    }

    fn verify(&self) -> BackendFuture<'_, ()> {
        self.call(Operation::Verify, None, || self.servers.ping())
    }

    /// Waits for the calls under way, but no longer than the [`patience`](super::RedisCacheBackendBuilder::patience): somebody
    /// may hold one and not poll it. The calls that are left fail.
    fn close(&self) -> BackendFuture<'_, ()> {
        BackendFuture::boxed(async move {
            let left = alarm::until(self.flights.deadline(), self.gate.close());
            let _: Option<()> = left.await;
            self.servers.close();
            Ok(())
        })
    }

    fn flights(&self) -> &Flights {
        &self.flights
    }
}
