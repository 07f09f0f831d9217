//! The contract, call by call.

use super::command::{self, Scripted};
use super::link::Replay;
use super::script::{COMPARE_AND_SET, INCR};
use super::{RedisCacheBackend, flush};
use crate::backend::{BackendFuture, CacheBackend, Flights, Value, alarm};
use crate::error::Error;
use crate::time::Ttl;
use redis::Cmd;
use std::time::Instant;

impl CacheBackend for RedisCacheBackend {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.call("get", Some(key), async move {
            let get = command::get(self.key(key));
            command::value(self.send(key, &get, Replay::Safe).await?)
        })
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.call("set", Some(key), async move {
            let set = command::set(self.key(key), &value.encode()?, ttl);
            self.send(key, &set, Replay::Unsafe).await.map(drop)
        })
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.call("delete", Some(key), async move {
            let unlink = command::unlink(self.key(key));
            let removed = self.send(key, &unlink, Replay::Unsafe).await?;
            Ok(command::integer(&removed)? == 1)
        })
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.call("flush", None, async move {
            let flushed = flush::flush(&self.servers, &self.prefix, self.timeout).await;
            flushed.map_err(|failure| self.error(failure))
        })
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.call("incr", Some(key), async move {
            let incr = Scripted::incr(&INCR, self.key(key), by, ttl);
            command::integer(&self.run(key, incr).await?)
        })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.call("atomic_update", Some(key), async move {
            let expected = expected.map(Value::encode).transpose()?;
            let new = new.encode()?;
            let (key_there, lua) = (self.key(key), &COMPARE_AND_SET);
            let update = Scripted::compare_and_set(lua, key_there, expected.as_deref(), &new, ttl);
            Ok(command::integer(&self.run(key, update).await?)? == 1)
        })
    }

    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        self.call("get_many", None, async move {
            let at_once = |keys: &mut dyn Iterator<Item = Vec<u8>>| command::each("MGET", keys);
            if let Some(answers) = self.send_at_once(keys, at_once, Replay::Safe).await {
                return command::values(answers?, keys.len());
            }
            let gets = keys.iter().map(|&key| (key, command::get(self.key(key))));
            let answers = self.send_many("get_many", gets.collect(), Replay::Safe);
            answers.await?.into_iter().map(command::value).collect()
        })
    }

    fn set_values<'a>(&'a self, entries: Vec<(&'a str, Value)>, ttl: Ttl) -> BackendFuture<'a, ()> {
        self.call("set_many", None, async move {
            let sets: Result<Vec<(&str, Cmd)>, Error> = entries
                .into_iter()
                .map(|(key, value)| match value.encode() {
                    Ok(value) => Ok((key, command::set(self.key(key), &value, ttl))),
                    Err(error) => Err(error.during("set_many", Some(key))),
                })
                .collect();
            let answers = self.send_many("set_many", sets?, Replay::Unsafe);
            answers.await.map(drop)
        })
    }

    fn delete_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, u64> {
        self.call("delete_many", None, async move {
            let at_once = |keys: &mut dyn Iterator<Item = Vec<u8>>| command::each("UNLINK", keys);
            let answers = match self.send_at_once(keys, at_once, Replay::Unsafe).await {
                Some(answers) => answers?,
                None => {
                    let unlinks = keys.iter();
                    let unlinks = unlinks.map(|&key| (key, command::unlink(self.key(key))));
                    self.send_many("delete_many", unlinks.collect(), Replay::Unsafe)
                        .await?
                }
            };
            let removed = answers.iter().map(command::integer);
            removed.sum::<Result<i64, Error>>().map(i64::unsigned_abs)
        })
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.call("ttl", Some(key), async move {
            let pttl = command::pttl(self.key(key));
            command::ttl(&self.send(key, &pttl, Replay::Safe).await?)
        })
    }

    fn default_ttl(&self) -> Ttl {
        self.default_ttl
    }

    /// A PING to the server, or to every master of the cluster.
    fn verify(&self) -> BackendFuture<'_, ()> {
        self.call("verify", None, async move {
            let deadline: Instant = self.deadline();
            for link in self.servers.masters(deadline).await?.links() {
                let ping = redis::cmd("PING");
                let pong = link.one(&ping, deadline, Replay::Safe).await;
                pong.map_err(|failure| self.error(failure))?;
            }
            Ok(())
        })
    }

    /// Waits for the calls under way, but no longer than the [`patience`](super::RedisCacheBackendBuilder::patience): somebody
    /// may hold one and not poll it. Those that are left fail.
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
