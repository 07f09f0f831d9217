//! [`RedisCacheBackend`]: the contract over Redis.
//!
//! A call of the contract (`contract`) makes a command of its key and value (`command`, `script`) and hands it to `servers`, which
//! finds the server, sends, waits until the deadline at most, and says what came back. Nothing outside of `servers` knows whether
//! there is one server or a cluster.
//!
//! | file | what is in it |
//! |---|---|
//! | `address` | URLs, taken apart and redacted |
//! | `tls` | what TLS needs, with the feature `redis-tls` |
//! | `command`, `script` | what is sent, and what the answers mean; Lua for what takes more than one step |
//! | `tracking` | which keys have been written by anybody, as the servers tell |
//! | `notice` | what writers tell themselves, where servers do not |
//! | `servers` | sending: connections, deadlines, which server has a key |
//! | `event` | spans and events, with the feature `tracing` |
//! | `gate` | closing |
//! | `hash_slot` | where in a cluster a key is |
//! | `lease` | leases, with which one process loads for all |
//! | `token` | names that are given once |
//! | `remover` | what repairs have of a backend |
//! | `builder` | settings |
//! | `contract` | the calls |

mod address;
mod builder;
mod command;
mod contract;
mod event;
mod gate;
mod hash_slot;
mod lease;
mod notice;
mod remover;
mod script;
mod servers;
mod tls;
mod token;
mod tracking;

pub use builder::RedisCacheBackendBuilder;
pub(super) use contract::{CopyTerms, Fetched};
pub(super) use remover::{Removal, Remover};
pub(super) use tracking::Tracking;

use super::stats::CallCounters;
use super::{Codec, Flights, LinkState, LoadOptions};
use crate::error::Error;
use crate::time::Ttl;
use gate::Gate;
use servers::Servers;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A backend on Redis 6 or newer: one server, a primary that sentinels watch, or a cluster.
///
/// | URL | what it means |
/// |---|---|
/// | `redis://[user:password@]host[:6379][/database]` | one server; `unix:///path/to/socket` is one too |
/// | `redis+sentinel://[user:password@]host[:26379],…/service[/database]` | the primary of that name, whichever server that is at the time; user and password are the primary's, those of the sentinels are given as `?sentinel_user=…&sentinel_password=…` |
/// | `redis+cluster://[user:password@]host[:6379],…` | a cluster; some of its nodes are enough |
/// | `redis://host:6379,host:6380` or `redis://host:6379,redis://host:6380` | a cluster |
///
/// With `rediss` instead of `redis` they use TLS, which needs the feature `redis-tls`. In a user name or a password, each of
/// `:/?#@,%` is written as percent and two hex digits.
///
/// All calls share one connection for each server, which is made when it is first needed and made anew when it breaks. Nothing
/// takes longer than the [`timeout`](RedisCacheBackendBuilder::timeout), whatever state the server is in, and while a server is
/// known to be down calls fail at once; when it is back, they work again within a second, unless the
/// [breaker](RedisCacheBackendBuilder::breaker_pause) is told to wait longer. A server that is down is an error,
/// never a miss. [`Error::is_timeout`], and [`Error::is_connection`] for a connection that broke in the middle of a call, mean
/// that it is not known whether a write took place; writes are never sent a second time, but for the removals of a `flush`.
///
/// A value is stored as JSON, or by another [`codec`](RedisCacheBackendBuilder::codec), a counter as the bare number, under the
/// prefix and the key. A time to live of more than 146
/// million years means never. A foreign type under a key, a list say, is an error ([`Error::is_wrong_type`]), but `get_many` on
/// one server takes it for a miss. A `flush` removes what starts with the prefix, with SCAN and UNLINK: [leases](crate::LoadOptions::fleet_single_flight) first,
/// then all.
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
    servers: Arc<Servers>,
    redacted_url: String,
    prefix: Box<str>,
    codec: Codec,
    is_strict: bool,
    load_options: LoadOptions,
    default_ttl: Ttl,
    timeout: Duration,
    gate: Gate,
    flights: Flights,
    calls: CallCounters,
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

    /// How the ways to the servers are: one, or one for each node of a cluster that is known so far, by their addresses. Asks no
    /// server.
    ///
    /// ```
    /// use nori_cache::{BreakerState, RedisCacheBackend};
    ///
    /// let backend = RedisCacheBackend::new("redis://ana:secret@cache.example:6379")?;
    /// let links = backend.links();
    /// assert_eq!(links[0].address, "cache.example:6379");
    /// assert_eq!(links[0].breaker, BreakerState::Closed);
    /// assert!(!links[0].is_connected); // nobody has asked for anything yet
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn links(&self) -> Vec<LinkState> {
        self.servers.links()
    }
}

impl fmt::Debug for RedisCacheBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisCacheBackend")
            .field("url", &self.redacted_url)
            .field("prefix", &self.prefix)
            .field("default_ttl", &self.default_ttl)
            .field("timeout", &self.timeout)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
