//! Writes of which others are told on a channel: what tells of them goes with them, in the same trip and behind them.
//!
//! **What is written is told of.** A write and its notice are one transaction (`MULTI`), so that nothing comes of one without the other,
//! whatever becomes of the connection or of the process that sent them, and whether anybody still waits for the answer. It is the
//! server that publishes, behind the write. So whoever has the old value has asked for it before the notice is sent, with a ticket that is
//! older than that, and the notice ends it.
//!
//! **But for many keys on a cluster**, which no transaction spans unless all are in one hash slot. There the notice is sent right behind the
//! commands, in one go. If the connection breaks in between, writes may have taken place that nobody is told of. It is sent so as well
//! where a server is full: that takes no transaction, be it one that only removes.
//!
//! The notice is published whatever the write comes to: a comparison that failed, or a script that the server did not know yet, makes others
//! ask once more than they had to.

use super::announced::{AnnouncedOne, Telling};
use super::failure::{Answer, Failure};
use super::request::Replay;
use super::{Route, Servers, script};
use crate::backend::redis::command::{Key, Scripted};
use crate::error::Error;
use redis::{Cmd, Value};
use std::time::Instant;

impl Route {
    /// Sends a command that writes a key to the server that has it, and tells of it.
    pub(super) async fn write(
        &self,
        key: &[u8],
        command: &Cmd,
        deadline: Instant,
        replay: Replay,
        telling: Telling<'_>,
    ) -> Answer {
        let Some(notice) = telling.notice(std::iter::once(key)) else {
            return self.one(key, command, deadline, replay).await;
        };
        let announced = AnnouncedOne::new(command.clone(), notice);
        let answer = match self {
            Self::One(link) => link.covered(&announced, deadline, replay).await,
            Self::Cluster(cluster) => cluster.covered(key, &announced, deadline, replay).await,
        };
        answer.map(|(value, _)| value)
    }

    /// Runs a script on a key, and tells that the key was written.
    pub(super) async fn run(
        &self,
        key: &[u8],
        scripted: &Scripted,
        deadline: Instant,
        telling: Telling<'_>,
    ) -> Answer {
        let send = async |command: &Cmd| {
            self.write(key, command, deadline, Replay::Unsafe, telling)
                .await
        };
        match send(&scripted.by_hash).await {
            Err(Failure::Rejected(reply)) if script::is_unknown(&reply) => {
                send(&scripted.by_text()).await
            }
            answer => answer,
        }
    }
}

impl Servers {
    /// What others are told of the keys that are written.
    pub(super) fn telling(&self) -> Telling<'_> {
        match &self.channel {
            Some(channel) => Telling::Keys(channel),
            None => Telling::Nothing,
        }
    }

    /// Sends a command that writes a key.
    pub(in crate::backend::redis) async fn write(
        &self,
        key: Key<'_>,
        command: &Cmd,
    ) -> Result<Value, Error> {
        let telling = self.telling();
        if let Telling::Nothing = telling {
            return self.send(key, command, Replay::Unsafe).await;
        }
        let (key, deadline) = (key.to_vec(), self.deadline());
        let answer = self
            .route
            .write(&key, command, deadline, Replay::Unsafe, telling);
        answer.await.map_err(|failure| self.error(failure))
    }

    /// Runs a script that writes its key.
    pub(in crate::backend::redis) async fn run_write(
        &self,
        key: Key<'_>,
        scripted: &Scripted,
    ) -> Result<Value, Error> {
        let key = key.to_vec();
        let answer = self
            .route
            .run(&key, scripted, self.deadline(), self.telling());
        answer.await.map_err(|failure| self.error(failure))
    }
}
