//! Connections by which servers tell of writes: what is sent when one is made, who hears the messages, and how it is known to be
//! alive.
//!
//! **Before a connection is handed out**, tracking is on and the server has answered. A server that refuses either (too old, no
//! permission) is one that cannot be used: the attempt to connect fails, and says why.
//!
//! **Where writers tell each other** (`Coherence::Backplane`), a second connection has subscribed to their channel before the first is
//! handed out, and neither outlives the other. A second one, because servers end a connection that subscribes when more than some
//! megabytes wait for it, which may be the answer to one question. That both lead to the same server is found out by a channel that only
//! the second one has subscribed to: who publishes there is told how many subscribers *this server* has. If the second one does not
//! answer for as long as a command may take, both are left.
//!
//! **Messages are dealt with where they come in**, by the task that reads the connection, in the order in which the server sent
//! them. So when a caller has an answer, all messages have been dealt with that the server sent before it. By the second connection
//! they come when they come: the ticket is older than the question, and that is enough.
//!
//! **Proofs.** Every quarter of the bound the server is asked whether it still is what it was: that it answers, and with sentinels
//! or in a cluster also that it is a primary, and one that the cluster follows. The time of the *question* is what is proven,
//! because what was written before it has been announced before the answer. A server that was demoted proves nothing any more,
//! and one that stands still neither.
//!
//! **When it ends**, whichever side ends it, the [`Coverage`] is lost before anybody can have another connection: see
//! [`Ear`] and [`link`](super::link).

use super::announced::Announced;
use super::dial::Hears;
use super::failure::{Failure, broken};
use super::request::Request;
use crate::backend::coherence::validity::Coverage;
use crate::backend::redis::address::Secrets;
use crate::backend::redis::notice::Channel;
use crate::backend::redis::token::token;
use crate::backend::redis::tracking::Tracking;
use crate::error::Error;
use crate::sync::{AtomicBool, Ordering, fence};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, PushInfo, RedisResult, ServerError, Value, cmd};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// The pause between two questions is no longer than this, however long the bound.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a server has to say to prove that what it announces is all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Anything.
    Answers,
    /// That it is a primary.
    IsPrimary,
    /// That it is a primary, and the cluster in order as far as it can see.
    ServesCluster,
}

/// For the connections of a link.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) tracking: Arc<Tracking>,
    pub(super) proof: Proof,
}

/// A connection as the one who watches it sees it.
pub(super) trait Watched: Send + 'static {
    /// The connection, as long as it is in use. Whoever watches does not keep it.
    fn in_use(&self) -> Option<MultiplexedConnection>;

    /// Leaves it for another one, which the next caller makes.
    fn leave(&self);
}

/// What the server answered.
enum Said {
    Yes,
    No,
}

impl Proof {
    fn questions(self) -> Vec<Cmd> {
        match self {
            Self::Answers => vec![cmd("PING")],
            Self::IsPrimary => vec![cmd("ROLE")],
            Self::ServesCluster => {
                let mut info = cmd("CLUSTER");
                info.arg("INFO");
                vec![cmd("ROLE"), info]
            }
        }
    }

    fn read(self, answers: &[Value]) -> Said {
        let proves = match (self, answers) {
            (Self::Answers, [answer]) => !matches!(answer, Value::ServerError(_)),
            (Self::IsPrimary, [role]) => is_primary(role),
            (Self::ServesCluster, [role, info]) => is_primary(role) && is_in_order(info),
            _ => false,
        };
        if proves { Said::Yes } else { Said::No }
    }
}

fn is_primary(role: &Value) -> bool {
    match role {
        Value::Array(parts) => parts.first().is_some_and(|name| text(name) == b"master"),
        _ => false,
    }
}

fn is_in_order(info: &Value) -> bool {
    const OK: &[u8] = b"cluster_state:ok";
    text(info).windows(OK.len()).any(|part| part == OK)
}

fn text(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.as_bytes(),
        _ => b"",
    }
}

impl Watch {
    /// Of a connection that is about to be made. Nothing has been read by it yet, so that everything is known of what has.
    pub(super) fn coverage(&self) -> Arc<Coverage> {
        let (now, bound) = (self.tracking.now(), self.tracking.bound_millis());
        Arc::new(Coverage::new(now, bound))
    }

    pub(super) fn beginning<'w>(
        &'w self,
        coverage: &'w Coverage,
        name: &'w str,
        secrets: &'w Secrets,
    ) -> Beginning<'w> {
        Beginning {
            watch: self,
            coverage,
            name,
            secrets,
        }
    }

    /// Asks again and again, as long as the connection is in use.
    pub(super) async fn keep(
        self,
        watched: impl Watched,
        coverage: Arc<Coverage>,
        budget: Duration,
    ) {
        let bound = self.tracking.bound();
        let pause = (bound / 4).clamp(Duration::from_millis(1), LONGEST_PAUSE);
        // Of a connection that carries no calls nobody else finds out that it is dead.
        let is_apart = self.tracking.channel().is_some();
        let least = if is_apart { budget } else { Duration::ZERO };
        let patience = bound.max(pause).max(least);
        loop {
            sleep(pause).await;
            let Some(mut connection) = watched.in_use() else {
                return;
            };
            let asked = self.tracking.now();
            let questions = self.proof.questions();
            let answered = timeout(patience, ask(&mut connection, &questions)).await;
            let said = match answered {
                Ok(Ok(answers)) => self.proof.read(&answers),
                Err(_) if is_apart => return watched.leave(),
                // What is broken ends by itself; what is late may answer the next question.
                Ok(Err(_)) | Err(_) => continue,
            };
            match said {
                Said::Yes if !coverage.is_lost() => {
                    coverage.prove(asked);
                    continue;
                }
                // It is one again: the next connection is covered.
                Said::Yes => {}
                Said::No => {
                    self.tracking.lose(&coverage);
                    if self.proof == Proof::ServesCluster {
                        continue;
                    }
                    // The sentinels know another.
                }
            }
            return watched.leave();
        }
    }
}

/// Of what is told by a connection. What the server refuses, or does not answer, is an error of all of this.
pub(super) struct Beginning<'w> {
    watch: &'w Watch,
    coverage: &'w Coverage,
    name: &'w str,
    secrets: &'w Secrets,
}

impl Beginning<'_> {
    /// By the connection that carries the calls.
    pub(super) async fn on(&self, connection: &mut MultiplexedConnection) -> Result<(), Error> {
        let on = [self.watch.tracking.switch_on()];
        self.listen(connection, &on, "client tracking").await
    }

    /// By one beside that.
    pub(super) async fn beside(
        &self,
        calls: &mut MultiplexedConnection,
        told_by: &mut MultiplexedConnection,
        channel: &Channel,
    ) -> Result<(), Error> {
        const NEED: &str = "to subscribe and publish";
        let private = channel.private(&token());
        let on = [self.watch.tracking.switch_on(), private.subscribe()];
        self.listen(told_by, &on, NEED).await?;
        // Notices of nothing: whether one may.
        let [own, all] = [&private, channel].map(|it| it.tell_of([]));
        let announced = Announced::new(vec![own], all, true);
        let answers = self.accepted(announced.send(calls).await, NEED)?;
        match answers.first() {
            Some(Value::Int(1..)) => Ok(()),
            _ => {
                let text = format!("{}: two connections lead to two servers", self.name);
                Err(Error::connection(text))
            }
        }
    }

    async fn listen(
        &self,
        connection: &mut MultiplexedConnection,
        switch_on: &[Cmd],
        need: &str,
    ) -> Result<(), Error> {
        let asked = self.watch.tracking.now();
        let proof = self.watch.proof;
        let commands = [switch_on, &proof.questions()].concat();
        let answers = self.accepted(ask(connection, &commands).await, need)?;
        let proven = answers.get(switch_on.len()..).unwrap_or_default();
        match proof.read(proven) {
            Said::Yes => self.coverage.prove(asked),
            Said::No => self.watch.tracking.lose(self.coverage),
        }
        Ok(())
    }

    /// The answers, if none is a refusal.
    fn accepted(&self, answers: RedisResult<Vec<Value>>, need: &str) -> Result<Vec<Value>, Error> {
        let answers = answers.map_err(|error| broken(self.name, &error, self.secrets))?;
        for answer in &answers {
            if let Value::ServerError(reply) = answer {
                return Err(self.refusal(reply, need));
            }
        }
        Ok(answers)
    }

    /// Why a server is of no use here. If that passes, the error is the one that any command would have got.
    fn refusal(&self, reply: &ServerError, need: &str) -> Error {
        let error = Failure::Rejected(reply.clone()).into_error(self.secrets);
        if error.is_connection() {
            return error;
        }
        let (code, details) = (reply.code(), reply.details().unwrap_or_default());
        let name = self.name;
        let text = format!("{name} refuses what a near tier needs, {need}: {code} {details}");
        Error::rejected(self.secrets.scrub(text))
    }
}

async fn ask(connection: &mut MultiplexedConnection, questions: &[Cmd]) -> RedisResult<Vec<Value>> {
    let mut all = Pipeline::with_capacity(questions.len());
    for question in questions {
        all.add_command(question.clone());
    }
    connection
        .send_packed_commands(&all, 0, questions.len())
        .await
}

/// Owned by the task that reads a connection: hears what the server sends unasked, and is dropped when that task ends.
pub(super) struct Ear {
    pub(super) dead: Arc<AtomicBool>,
    pub(super) watched: Option<(Arc<Tracking>, Arc<Coverage>)>,
}

impl Hears for Ear {
    fn hear(&self, push: &PushInfo) {
        if let Some((tracking, _)) = &self.watched {
            tracking.hear(push);
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        if let Some((tracking, coverage)) = &self.watched {
            tracking.lose(coverage);
        }
        // Release: pairs with the Acquire in `Connection::is_usable`; who turns to the next connection finds the coverage of this
        // one lost.
        self.dead.store(true, Ordering::Release);
        // SeqCst: pairs with the fence in `Connection::answer`. The task still has the channel of what is to be sent.
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn only_a_primary_that_the_cluster_follows_proves_anything() {
        let role = |name| Value::Array(vec![bulk(name), Value::Int(0)]);
        let info = |state| bulk(&format!("cluster_state:{state}\r\ncluster_slots_ok:1\r\n"));
        let denied = Value::Nil;
        for (proof, answers, expected) in [
            (Proof::Answers, vec![bulk("PONG")], true),
            (Proof::Answers, vec![role("master"), role("master")], false),
            (Proof::Answers, vec![], false),
            (Proof::IsPrimary, vec![role("master")], true),
            (Proof::IsPrimary, vec![role("slave")], false),
            (Proof::IsPrimary, vec![denied], false),
            (Proof::ServesCluster, vec![role("master"), info("ok")], true),
            (
                Proof::ServesCluster,
                vec![role("master"), info("fail")],
                false,
            ),
            (Proof::ServesCluster, vec![role("slave"), info("ok")], false),
            (Proof::ServesCluster, vec![role("master")], false),
        ] {
            let said = matches!(proof.read(&answers), Said::Yes);
            assert_eq!(said, expected, "{proof:?} {answers:?}");
        }
    }
}
