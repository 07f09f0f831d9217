//! What is sent in one go, and what is to be known of it.

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisResult, ServerError, Value};
use std::future::Future;

/// Whether a command may be sent again when its connection broke before the answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::redis) enum Replay {
    /// It reads; or it is the UNLINK of a flush, for which it makes no difference whether a key that is written meanwhile is
    /// removed.
    Safe,
    /// It writes, and to do that twice may undo what another has written in between.
    Unsafe,
}

/// What is sent in one go.
pub(super) trait Request: Sync {
    type Answer: Send;

    fn send(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Self::Answer>> + Send;

    /// Whether one of the rejections in the answer is of this kind.
    fn any(answer: &Self::Answer, is: impl Fn(&ServerError) -> bool) -> bool;
}

/// What can be sent behind an `ASKING`, which is for one command or transaction.
pub(super) trait Single: Request<Answer = Value> {
    /// The commands of it that matter.
    fn commands(&self) -> Vec<Cmd>;

    /// The answer, from those to the commands.
    fn answer(&self, answers: Vec<Value>) -> RedisResult<Value>;
}

impl Single for Cmd {
    fn commands(&self) -> Vec<Cmd> {
        vec![self.clone()]
    }

    fn answer(&self, mut answers: Vec<Value>) -> RedisResult<Value> {
        Ok(answers.pop().unwrap_or(Value::Nil))
    }
}

impl Request for Cmd {
    type Answer = Value;

    fn send(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Value>> + Send {
        connection.send_packed_command(self)
    }

    fn any(answer: &Value, is: impl Fn(&ServerError) -> bool) -> bool {
        matches!(answer, Value::ServerError(reply) if is(reply))
    }
}

impl Request for Pipeline {
    type Answer = Vec<Value>;

    fn send(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> impl Future<Output = RedisResult<Vec<Value>>> + Send {
        connection.send_packed_commands(self, 0, self.len())
    }

    fn any(answers: &Vec<Value>, is: impl Fn(&ServerError) -> bool) -> bool {
        answers.iter().any(|answer| Cmd::any(answer, &is))
    }
}
