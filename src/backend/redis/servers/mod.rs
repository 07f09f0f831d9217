//! Sending: a command goes to the server that has its key, and an answer or an [`Error`] comes back. [`Servers`] is all that the
//! rest of the backend knows of one server or many, of connections that break, and of deadlines.
//!
//! | file | what is in it |
//! |---|---|
//! | `failure` | why there is no answer, and what callers are told |
//! | `driver` | the thread on which connections live |
//! | `dial` | making a connection, by way of sentinels too |
//! | `breaker` | when a server is dialled, and who waits for that: a state machine |
//! | `link` | one server: a connection that comes back, behind a breaker |
//! | `topology`, `cluster` | many servers: which node serves which key |
//! | `batches` | many commands to many servers |
//! | `request`, `announced` | what is sent in one go; the same, with what tells others of it |
//! | `announce` | writes of which others are told on a channel |
//! | `flush` | removing a prefix |
//! | `watch` | connections by which servers tell of writes |
//! | `errand` | what is sent and not waited for |
//! | `fetch` | reads of which a copy may be kept |
//! | `repair` | removing what is still there of what was to be replaced |

mod announce;
mod announced;
mod batches;
mod breaker;
mod cluster;
mod dial;
mod driver;
mod errand;
mod failure;
mod fetch;
mod flush;
mod link;
mod repair;
mod request;
mod topology;
mod watch;

pub(super) use breaker::BreakerSettings;
pub(super) use fetch::Fetched;
pub(in crate::backend) use repair::Removal;
pub(super) use request::Replay;

use super::address::{Secrets, Target};
use super::command::{self, Key, Scripted};
use super::event::Endpoint;
use super::notice::Channel;
use super::script;
use super::tracking::Tracking;
use crate::backend::alarm;
use crate::backend::stats::LinkState;
use crate::error::Error;
use announced::Telling;
use batches::{BATCH, Group, Terms};
use cluster::Cluster;
use dial::Dial;
use driver::Driver;
use failure::{Answer, Failure, redirect};
use link::Link;
use redis::{Cmd, ToRedisArgs, Value, cmd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use topology::Topology;
use watch::{Proof, Watch};

/// One server, or a cluster of them.
pub(super) struct Servers {
    route: Route,
    /// What a command may take; of a call that is many commands, each round trip.
    budget: Duration,
    secrets: Secrets,
    driver: Arc<Driver>,
    /// If others are to be told of writes.
    channel: Option<Channel>,
}

#[derive(Clone)]
enum Route {
    One(Arc<Link>),
    Cluster(Arc<Cluster>),
}

/// A command and the key that says where it goes.
struct Addressed {
    key: Vec<u8>,
    command: Cmd,
}

impl Servers {
    /// Connects nowhere yet.
    pub(super) fn new(
        target: Target,
        budget: Duration,
        secrets: Secrets,
        breaker: BreakerSettings,
        tracking: Option<Arc<Tracking>>,
    ) -> Self {
        let driver = Driver::share();
        let watch = |proof| {
            let tracking = tracking.as_ref().map(Arc::clone);
            tracking.map(|tracking| Watch { tracking, proof })
        };
        let one = |dial, watch| {
            let driver = Arc::clone(&driver);
            Route::One(Link::new(
                dial,
                budget,
                secrets.clone(),
                driver,
                breaker,
                watch,
            ))
        };
        let route = match target {
            Target::Single(info) => one(Dial::Address(info), watch(Proof::Answers)),
            Target::Sentinel {
                sentinels,
                service,
                primary,
            } => {
                let dial = Dial::Primary {
                    sentinels,
                    service,
                    like: primary,
                };
                one(dial, watch(Proof::IsPrimary))
            }
            Target::Cluster(seeds) => {
                let watch = watch(Proof::ServesCluster);
                let cluster = Cluster::new(
                    seeds,
                    budget,
                    secrets.clone(),
                    Arc::clone(&driver),
                    breaker,
                    watch,
                );
                Route::Cluster(Arc::new(cluster))
            }
        };
        Self {
            route,
            budget,
            secrets,
            driver,
            channel: tracking.and_then(|it| it.channel().cloned()),
        }
    }

    /// Sends a command on one key.
    pub(super) async fn send(
        &self,
        key: Key<'_>,
        command: &Cmd,
        replay: Replay,
    ) -> Result<Value, Error> {
        let deadline = self.deadline();
        let answer = match &self.route {
            Route::One(link) => link.one(command, deadline, replay).await,
            // Only here is the key needed by itself. On the heap: it would make the call's future as large for one server.
            Route::Cluster(cluster) => {
                let key = key.to_vec();
                Box::pin(cluster.one(&key, command, deadline, replay)).await
            }
        };
        answer.map_err(|failure| self.error(failure))
    }

    /// Runs a script on one key, which does not write that: by its hash, and by its text if the server does not know it yet.
    pub(super) async fn run(&self, key: Key<'_>, scripted: &Scripted) -> Result<Value, Error> {
        let (key, deadline) = (key.to_vec(), self.deadline());
        let answer = self.route.run(&key, scripted, deadline, Telling::Nothing);
        answer.await.map_err(|failure| self.error(failure))
    }

    /// Reads with a command for each key. The answers come in the order of the commands; an error names its key.
    pub(super) async fn read_each(
        &self,
        operation: &'static str,
        commands: Vec<(Key<'_>, Cmd)>,
    ) -> Result<Vec<Value>, Error> {
        self.send_each(operation, commands, Replay::Safe, Telling::Nothing)
            .await
    }

    /// As [`read_each`](Self::read_each), with commands that write.
    pub(super) async fn write_each(
        &self,
        operation: &'static str,
        commands: Vec<(Key<'_>, Cmd)>,
    ) -> Result<Vec<Value>, Error> {
        self.send_each(operation, commands, Replay::Unsafe, self.telling())
            .await
    }

    async fn send_each(
        &self,
        operation: &'static str,
        commands: Vec<(Key<'_>, Cmd)>,
        replay: Replay,
        telling: Telling<'_>,
    ) -> Result<Vec<Value>, Error> {
        let (keys, commands): (Vec<&str>, Vec<Addressed>) = commands
            .into_iter()
            .map(|(key, command)| {
                let addressed = Addressed {
                    key: key.to_vec(),
                    command,
                };
                (key.key, addressed)
            })
            .unzip();
        let answers = self.many(commands, replay, telling).await;
        let named = answers.into_iter().zip(keys).map(|(answer, key)| {
            answer.map_err(|failure| self.error(failure).during(operation, Some(key)))
        });
        named.collect()
    }

    /// Runs a script that writes it for each key: all by their hashes, and those by their texts that the servers do not know yet. The answers come in
    /// the order of the scripts; an error names its key.
    pub(super) async fn run_each(
        &self,
        operation: &'static str,
        scripts: Vec<(Key<'_>, Scripted)>,
    ) -> Result<Vec<Value>, Error> {
        let answers = self.run_all(&scripts).await;
        let named = answers.into_iter().zip(&scripts).map(|(answer, (key, _))| {
            answer.map_err(|failure| self.error(failure).during(operation, Some(key.key)))
        });
        named.collect()
    }

    /// As [`run_each`](Self::run_each), with what became of each.
    async fn run_all(&self, scripts: &[(Key<'_>, Scripted)]) -> Vec<Answer> {
        let addressed = |(key, scripted): &(Key<'_>, Scripted), by_text: bool| Addressed {
            key: key.to_vec(),
            command: if by_text {
                scripted.by_text()
            } else {
                scripted.by_hash.clone()
            },
        };
        let by_hash = scripts.iter().map(|it| addressed(it, false)).collect();
        let telling = self.telling();
        let mut answers = self.many(by_hash, Replay::Unsafe, telling).await;
        let is_unknown = |answer: &Answer| match answer {
            Err(Failure::Rejected(reply)) => script::is_unknown(reply),
            _ => false,
        };
        let unknown: Vec<usize> = (0..answers.len())
            .filter(|&at| is_unknown(&answers[at]))
            .collect();
        if !unknown.is_empty() {
            let by_text = unknown.iter().map(|&at| addressed(&scripts[at], true));
            let by_text = by_text.collect();
            let again = self.many(by_text, Replay::Unsafe, telling).await;
            for (at, answer) in unknown.into_iter().zip(again) {
                answers[at] = answer;
            }
        }
        answers
    }

    /// Sends one command for many keys, as few times as may be. `None` if keys may be on several servers, or if it writes and others
    /// are to be told.
    pub(super) async fn send_at_once(
        &self,
        name: &str,
        keys: &[impl ToRedisArgs],
        replay: Replay,
    ) -> Option<Result<Vec<Value>, Error>> {
        let Route::One(link) = &self.route else {
            return None;
        };
        if replay == Replay::Unsafe && self.channel.is_some() {
            return None;
        }
        let mut answers = Vec::new();
        for batch in keys.chunks(BATCH) {
            let command = command::on_all(name, batch);
            match link.one(&command, self.deadline(), replay).await {
                Ok(answer) => answers.push(answer),
                Err(failure) => return Some(Err(self.error(failure))),
            }
        }
        Some(Ok(answers))
    }

    /// A PING to the server, or to every primary of the cluster.
    pub(super) async fn ping(&self) -> Result<(), Error> {
        let deadline = self.deadline();
        for link in self.primaries(deadline).await?.links() {
            let pong = link.one(&cmd("PING"), deadline, Replay::Safe).await;
            pong.map_err(|failure| self.error(failure))?;
        }
        Ok(())
    }

    /// Where the server is, if there is only one.
    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        match &self.route {
            Route::One(link) => link.endpoint(),
            Route::Cluster(_) => None,
        }
    }

    /// How the ways to the servers are, by their addresses.
    pub(super) fn links(&self) -> Vec<LinkState> {
        let mut states: Vec<LinkState> = match &self.route {
            Route::One(link) => vec![link.state()],
            Route::Cluster(cluster) => cluster.links().iter().map(|link| link.state()).collect(),
        };
        states.sort_by(|one, other| one.address.cmp(&other.address));
        states
    }

    /// Lets go of all connections, for good.
    pub(super) fn close(&self) {
        match &self.route {
            Route::One(link) => link.close(),
            Route::Cluster(cluster) => cluster.close(),
        }
    }

    fn deadline(&self) -> Instant {
        alarm::after(self.budget)
    }

    fn error(&self, failure: Failure) -> Error {
        failure.into_error(&self.secrets)
    }

    /// Sends many commands, and those that another server has by now once more. The answers come in the order of the commands.
    async fn many(
        &self,
        commands: Vec<Addressed>,
        replay: Replay,
        telling: Telling<'_>,
    ) -> Vec<Answer> {
        let terms = Terms {
            deadline: alarm::after(batches::budget_of(commands.len(), self.budget)),
            budget: self.budget,
            replay,
            telling,
            has_slots: matches!(self.route, Route::Cluster(_)),
        };
        let mut answers: Vec<Option<Answer>> = Vec::new();
        answers.resize_with(commands.len(), || None);
        let mut groups: Vec<Group> = Vec::new();
        for (at, command) in commands.iter().enumerate() {
            let link = match self.link_to(&command.key, terms.deadline).await {
                Ok(link) => link,
                Err(failure) => {
                    answers[at] = Some(Err(failure));
                    continue;
                }
            };
            match groups.iter_mut().find(|it| Arc::ptr_eq(&it.link, &link)) {
                Some(group) => group.members.push(at),
                None => groups.push(Group {
                    link,
                    members: vec![at],
                }),
            }
        }
        for (at, answer) in batches::send(&groups, &commands, terms).await {
            answers[at] = Some(answer);
        }
        let mut all = Vec::with_capacity(answers.len());
        for (answer, Addressed { key, command }) in answers.into_iter().zip(&commands) {
            all.push(match answer {
                Some(Err(failure)) if self.may_be_elsewhere(&failure) => {
                    let deadline = terms.deadline;
                    let again = self.route.write(key, command, deadline, replay, telling);
                    again.await
                }
                Some(answer) => answer,
                None => Err(Failure::Unsent(Error::connection("not sent"))),
            });
        }
        all
    }

    /// Whether a failure may only mean that another server has the key now.
    fn may_be_elsewhere(&self, failure: &Failure) -> bool {
        match (&self.route, failure) {
            (Route::One(_), _) | (_, Failure::Unknown(_)) => false,
            (Route::Cluster(_), Failure::Unsent(_)) => true,
            (Route::Cluster(_), Failure::Rejected(reply)) => redirect(reply).is_some(),
        }
    }

    async fn link_to(&self, key: &[u8], deadline: Instant) -> Result<Arc<Link>, Failure> {
        match &self.route {
            Route::One(link) => Ok(Arc::clone(link)),
            Route::Cluster(cluster) => cluster.primary_of(key, deadline).await,
        }
    }

    /// The servers that keys are spread over, asked for afresh.
    async fn primaries(&self, deadline: Instant) -> Result<Primaries, Error> {
        match &self.route {
            Route::One(link) => Ok(Primaries::One(Arc::clone(link))),
            Route::Cluster(cluster) => cluster.primaries(deadline).await.map(Primaries::Cluster),
        }
    }
}

impl Route {
    async fn one(&self, key: &[u8], command: &Cmd, deadline: Instant, replay: Replay) -> Answer {
        match self {
            Self::One(link) => link.one(command, deadline, replay).await,
            Self::Cluster(cluster) => Box::pin(cluster.one(key, command, deadline, replay)).await,
        }
    }
}

/// The servers that keys are spread over.
enum Primaries {
    One(Arc<Link>),
    Cluster(Arc<Topology>),
}

impl Primaries {
    fn links(&self) -> Vec<Arc<Link>> {
        match self {
            Self::One(link) => vec![Arc::clone(link)],
            Self::Cluster(topology) => topology.primaries(),
        }
    }

    /// Whether keys are where they were.
    fn are_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(_), Self::One(_)) => true,
            (Self::Cluster(one), Self::Cluster(other)) => one.is_like(other),
            _ => false,
        }
    }
}
