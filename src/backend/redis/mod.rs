//! [`RedisCacheBackend`]: the contract over Redis.
//!
//! | file | what is in it |
//! |---|---|
//! | `address` | URLs, taken apart and redacted |
//! | `failure` | why there is no answer, and what callers are told of it |
//! | `driver` | the thread on which connections live |
//! | `dial` | making a connection, by way of sentinels too |
//! | `link` | one server: a connection that comes back, and a breaker |
//! | `slot`, `topology`, `cluster` | many servers: who serves which key |
//! | `servers` | one or many, the same for whoever sends |
//! | `script` | Lua for what takes more than one step |
//! | `command` | what is sent, and what the answers mean |
//! | `flush` | removing a prefix |
//! | `gate` | closing |
//! | `contract` | the calls |

mod address;
mod builder;
mod cluster;
mod command;
mod contract;
mod dial;
mod driver;
mod failure;
mod flush;
mod gate;
mod link;
mod script;
mod servers;
mod slot;
#[cfg_attr(feature = "redis-tls", path = "tls_enabled.rs")]
#[cfg_attr(not(feature = "redis-tls"), path = "tls_disabled.rs")]
mod tls;
mod topology;

pub use builder::RedisCacheBackendBuilder;

use super::{BackendFuture, Flights, alarm};
use crate::error::Error;
use crate::time::Ttl;
use address::Secrets;
use command::{Key, Scripted};
use failure::Failure;
use gate::Gate;
use link::Replay;
use redis::Cmd;
use servers::{Addressed, BATCH, Servers};
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

/// A backend on Redis 6 or newer: one server, a master that sentinels watch, or a cluster.
///
/// | URL | what it means |
/// |---|---|
/// | `redis://[user:password@]host[:6379][/database]` | one server; `unix:///path/to/socket` is one too |
/// | `redis+sentinel://[user:password@]host[:26379],…/service[/database]` | the master of that name, whoever it is at the time; user and password are the master's, those of the sentinels are given as `?sentinel_user=…&sentinel_password=…` |
/// | `redis+cluster://[user:password@]host[:6379],…` | a cluster; some of its nodes are enough |
/// | `redis://host:6379,host:6380` or `redis://host:6379,redis://host:6380` | a cluster |
///
/// With `rediss` in the place of `redis` they use TLS, which takes the feature `redis-tls`. What a user name or a password has
/// of `:/?#@,%` is written as percent and two hex digits.
///
/// All calls share one connection for each server, which is made when it is first needed and made anew when it breaks. Nothing
/// takes longer than the [`timeout`](RedisCacheBackendBuilder::timeout), whatever state the server is in, and while a server is
/// known to be down calls fail at once; when it is back, they work again within a second. A server that is down is an error,
/// never a miss. [`Error::is_timeout`], and [`Error::is_connection`] for a connection that broke in the middle of a call, mean
/// that it is not known whether a write took place; writes are never sent a second time, but for the removals of a `flush`.
///
/// A value is stored as JSON, a counter as the bare number, under the prefix and the key. A time to live of more than 146
/// million years means never. A foreign type under a key, a list say, is an error ([`Error::is_wrong_type`]), but `get_many` on
/// one server takes it for a miss. A `flush` removes what starts with the prefix, with SCAN and UNLINK.
///
/// Passwords reach neither errors nor `Debug`.
///
/// Works on any executor, from any thread: connections live on a thread of the process's own, which starts with the first
/// connection and ends with the last backend. So they outlive the runtimes of those who call, and there is one for each server
/// however many runtimes there are. Timeouts go by the system's clock, not by Tokio's, which may be paused.
///
/// ```no_run
/// use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = RedisCacheBackend::new("redis://localhost:6379")?;
/// backend.verify().await?;
/// backend.set("user:42", vec!["ana"], Duration::from_secs(60)).await?;
/// let names: Option<Vec<String>> = backend.get("user:42").await?;
/// assert_eq!(names.unwrap(), ["ana"]);
/// # Ok(())
/// # }
/// ```
pub struct RedisCacheBackend {
    servers: Servers,
    secrets: Secrets,
    /// The URL as it may be shown.
    shown: String,
    prefix: Box<str>,
    default_ttl: Ttl,
    timeout: Duration,
    gate: Gate,
    flights: Flights,
}

impl RedisCacheBackend {
    /// A backend on the Redis at `url`, with the default settings. Connects nowhere yet.
    ///
    /// # Errors
    /// [`Error::is_invalid_config`] if the URL has none of the forms above.
    pub fn new(url: impl Into<String>) -> Result<Self, Error> {
        Self::builder().url(url).build()
    }

    /// Settings for a new backend: `redis://localhost:6379`, prefix `cache:`, 300 s for entries without a time to live of their
    /// own, a second for each command.
    ///
    /// ```
    /// use nori_cache::RedisCacheBackend;
    /// use std::time::Duration;
    ///
    /// let backend = RedisCacheBackend::builder()
    ///     .url("redis+cluster://node-1:6379,node-2:6379")
    ///     .prefix("shop:")
    ///     .timeout(Duration::from_millis(250))
    ///     .build()?;
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn builder() -> RedisCacheBackendBuilder {
        RedisCacheBackendBuilder::default()
    }

    fn key<'k>(&'k self, key: &'k str) -> Key<'k> {
        Key {
            prefix: &self.prefix,
            key,
        }
    }

    fn deadline(&self) -> Instant {
        alarm::after(self.timeout)
    }

    /// A call: not after closing, and its errors say what it was.
    fn call<'a, T>(
        &'a self,
        operation: &'static str,
        key: Option<&'a str>,
        work: impl Future<Output = Result<T, Error>> + Send + 'a,
    ) -> BackendFuture<'a, T> {
        BackendFuture::boxed(async move {
            let answer = match self.gate.enter() {
                Ok(_inside) => work.await,
                Err(closed) => Err(closed),
            };
            answer.map_err(|error| error.during(operation, key))
        })
    }

    async fn send(&self, key: &str, command: &Cmd, replay: Replay) -> Result<redis::Value, Error> {
        let deadline = self.deadline();
        let answer = match &self.servers {
            Servers::One(link) => link.one(command, deadline, replay).await,
            Servers::Cluster(cluster) => {
                let key = self.key(key).to_vec();
                cluster.one(&key, command, deadline, replay).await
            }
        };
        answer.map_err(|failure| self.error(failure))
    }

    async fn run(&self, key: &str, scripted: Scripted) -> Result<redis::Value, Error> {
        let (deadline, key) = (self.deadline(), self.key(key).to_vec());
        let send = async |command| {
            let sent = self.servers.one(&key, command, deadline, Replay::Unsafe);
            sent.await
        };
        let answer = match send(&scripted.by_hash).await {
            Err(Failure::Refused(reply)) if script::is_unknown(&reply) => {
                send(&scripted.by_text()).await
            }
            answer => answer,
        };
        answer.map_err(|failure| self.error(failure))
    }

    /// Sends a command for each key; the answers in their order, each failure with its key.
    async fn send_many(
        &self,
        operation: &'static str,
        commands: Vec<(&str, Cmd)>,
        replay: Replay,
    ) -> Result<Vec<redis::Value>, Error> {
        let (keys, commands): (Vec<&str>, Vec<Addressed>) = commands
            .into_iter()
            .map(|(key, command)| {
                let addressed = Addressed {
                    key: self.key(key).to_vec(),
                    command,
                };
                (key, addressed)
            })
            .unzip();
        let answers = self.servers.many(commands, self.timeout, replay).await;
        let named = answers.into_iter().zip(keys).map(|(answer, key)| {
            answer.map_err(|failure| self.error(failure).during(operation, Some(key)))
        });
        named.collect()
    }

    /// On one server, one command for many keys. `None` where keys may be on several.
    async fn send_at_once(
        &self,
        keys: &[&str],
        command: impl Fn(&mut dyn Iterator<Item = Vec<u8>>) -> Cmd,
        replay: Replay,
    ) -> Option<Result<Vec<redis::Value>, Error>> {
        let Servers::One(link) = &self.servers else {
            return None;
        };
        let mut answers = Vec::new();
        for batch in keys.chunks(BATCH) {
            let command = command(&mut batch.iter().map(|key| self.key(key).to_vec()));
            match link.one(&command, self.deadline(), replay).await {
                Ok(answer) => answers.push(answer),
                Err(failure) => return Some(Err(self.error(failure))),
            }
        }
        Some(Ok(answers))
    }

    fn error(&self, failure: Failure) -> Error {
        failure.into_error(&self.secrets)
    }
}

impl fmt::Debug for RedisCacheBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCacheBackend")
            .field("url", &self.shown)
            .field("prefix", &self.prefix)
            .field("default_ttl", &self.default_ttl)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
