//! Reads of which a copy may be kept: the value, what it has left to live, and the coverage of the connection by which it came.

use super::request::{Replay, Request, Single};
use super::{Route, Servers, batches};
use crate::backend::coherence::validity::Coverage;
use crate::backend::redis::command::{self, Key};
use crate::error::Error;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, ServerError, Value};
use std::sync::Arc;

/// A GET with the PTTL of the same key behind it, in one trip. What is written between the two is announced like what is written
/// after both.
struct Fetch<'k> {
    both: Pipeline,
    key: Key<'k>,
}

/// What a fetch brings.
pub(in crate::backend::redis) struct Fetched {
    /// What GET answered.
    pub(in crate::backend::redis) value: Value,
    /// What PTTL answered. `None` if no copy may be kept.
    pub(in crate::backend::redis) pttl: Option<Value>,
    /// Of the connection by which the answer came. `None` if nothing is announced by it.
    pub(in crate::backend::redis) coverage: Option<Arc<Coverage>>,
}

impl<'k> Fetch<'k> {
    fn of(key: Key<'k>) -> Self {
        let mut both = Pipeline::with_capacity(2);
        both.add_command(command::get(key));
        both.add_command(command::pttl(key));
        Self { both, key }
    }
}

impl Request for Fetch<'_> {
    type Answer = Value;

    async fn send(&self, connection: &mut MultiplexedConnection) -> RedisResult<Value> {
        let mut answers = connection.send_packed_commands(&self.both, 0, 2).await?;
        let rejected = |answer: &Value| matches!(answer, Value::ServerError(_));
        Ok(match answers.iter().position(rejected) {
            Some(at) => answers.swap_remove(at),
            None => Value::Array(answers),
        })
    }

    fn any(answer: &Value, is: impl Fn(&ServerError) -> bool) -> bool {
        Cmd::any(answer, is)
    }
}

impl Single for Fetch<'_> {
    fn commands(&self) -> Vec<Cmd> {
        vec![command::get(self.key)]
    }

    fn answer(&self, mut answers: Vec<Value>) -> RedisResult<Value> {
        Ok(answers.pop().unwrap_or(Value::Nil))
    }
}

impl Servers {
    /// As [`fetch`](Self::fetch), of a few keys side by side. The answers come in the order of the keys.
    pub(in crate::backend::redis) async fn fetch_each(
        &self,
        keys: &[Key<'_>],
    ) -> Vec<Result<Fetched, Error>> {
        let fetching = keys.iter().enumerate();
        let fetching = fetching.map(|(at, key)| async move { (at, self.fetch(*key).await) });
        let mut fetched = batches::together(fetching).await;
        fetched.sort_unstable_by_key(|(at, _)| *at);
        fetched.into_iter().map(|(_, fetched)| fetched).collect()
    }

    /// Reads a key. The answer is no older than the call.
    pub(in crate::backend::redis) async fn fetch(&self, key: Key<'_>) -> Result<Fetched, Error> {
        let (deadline, fetch) = (self.deadline(), Fetch::of(key));
        let answer = match &self.route {
            Route::One(link) => link.covered(&fetch, deadline, Replay::Safe).await,
            Route::Cluster(cluster) => {
                let key = key.to_vec();
                Box::pin(cluster.covered(&key, &fetch, deadline, Replay::Safe)).await
            }
        };
        let (answer, coverage) = answer.map_err(|failure| self.error(failure))?;
        match answer {
            Value::Array(both) => {
                let [value, pttl] = <[Value; 2]>::try_from(both)
                    .map_err(|both| command::unexpected(&Value::Array(both)))?;
                Ok(Fetched {
                    value,
                    pttl: Some(pttl),
                    coverage,
                })
            }
            // From a server that does not own the key yet, which was asked for the value alone.
            value => Ok(Fetched {
                value,
                pttl: None,
                coverage: None,
            }),
        }
    }
}
