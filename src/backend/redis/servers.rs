//! One server or many: where commands go.

use super::address::{Secrets, Target};
use super::cluster::Cluster;
use super::dial::Dial;
use super::failure::{Failure, redirect};
use super::link::{Link, Replay};
use super::topology::Topology;
use crate::error::Error;
use redis::{Cmd, Pipeline, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// As many commands are sent in one go at most; the server answers others in between.
pub(super) const BATCH: usize = 1_000;

pub(super) enum Servers {
    One(Arc<Link>),
    Cluster(Box<Cluster>),
}

/// A command and the key that says where it goes.
pub(super) struct Addressed {
    pub(super) key: Vec<u8>,
    pub(super) command: Cmd,
}

type Answer = Result<Value, Failure>;

impl Servers {
    pub(super) fn new(target: Target, patience: Duration, secrets: &Secrets) -> Self {
        let one = |dial| Self::One(Link::new(dial, patience, secrets.clone()));
        match target {
            Target::Single(info) => one(Dial::Address(info)),
            Target::Sentinel {
                sentinels,
                service,
                master,
            } => one(Dial::Master {
                sentinels,
                service,
                like: master,
            }),
            Target::Cluster(seeds) => {
                Self::Cluster(Box::new(Cluster::new(seeds, patience, secrets.clone())))
            }
        }
    }

    /// Sends a command to whoever serves `key`.
    pub(super) async fn one(
        &self,
        key: &[u8],
        command: &Cmd,
        deadline: Instant,
        replay: Replay,
    ) -> Answer {
        match self {
            Self::One(link) => link.one(command, deadline, replay).await,
            Self::Cluster(cluster) => cluster.one(key, command, deadline, replay).await,
        }
    }

    /// Sends many commands, to each server in batches and in order, to all servers at once. The answers come in the order of
    /// the commands.
    ///
    /// `budget` is that of a round trip: there is one deadline for all, so much for each batch that may be needed.
    pub(super) async fn many(
        &self,
        commands: Vec<Addressed>,
        budget: Duration,
        replay: Replay,
    ) -> Vec<Answer> {
        let batches = commands.len().div_ceil(BATCH).max(1);
        let deadline = Instant::now() + budget * batches as u32;
        let limits = Limits {
            deadline,
            budget,
            replay,
        };
        let mut answers: Vec<Option<Answer>> = Vec::new();
        answers.resize_with(commands.len(), || None);
        let mut groups: Vec<(Arc<Link>, Vec<usize>)> = Vec::new();
        for (at, command) in commands.iter().enumerate() {
            match self.link_to(&command.key, deadline).await {
                Err(failure) => answers[at] = Some(Err(failure)),
                Ok(link) => match groups.iter_mut().find(|(of, _)| Arc::ptr_eq(of, &link)) {
                    Some((_, members)) => members.push(at),
                    None => groups.push((link, vec![at])),
                },
            }
        }
        let commands = Arc::new(commands);
        match groups.as_slice() {
            [(link, members)] => {
                for (at, answer) in send(link, members, &commands, limits).await {
                    answers[at] = Some(answer);
                }
            }
            _ => {
                let mut under_way = JoinSet::new();
                for (link, members) in groups {
                    let commands = Arc::clone(&commands);
                    under_way.spawn(async move { send(&link, &members, &commands, limits).await });
                }
                while let Some(done) = under_way.join_next().await {
                    for (at, answer) in done.unwrap_or_default() {
                        answers[at] = Some(answer);
                    }
                }
            }
        }
        let mut all = Vec::with_capacity(answers.len());
        for (at, answer) in answers.into_iter().enumerate() {
            let answer = match answer {
                Some(answer) => answer,
                // Its task was cut short, with its runtime.
                None => Err(Failure::Unknown(Error::connection("shut down"))),
            };
            all.push(match answer {
                Err(failure) if self.is_elsewhere(&failure) => {
                    let Addressed { key, command } = &commands[at];
                    self.one(key, command, deadline, replay).await
                }
                answer => answer,
            });
        }
        all
    }

    /// Whether a failure may only mean that another server has the key now.
    fn is_elsewhere(&self, failure: &Failure) -> bool {
        match (self, failure) {
            (Self::One(_), _) | (_, Failure::Unknown(_)) => false,
            (Self::Cluster(_), Failure::Unsent(_)) => true,
            (Self::Cluster(_), Failure::Refused(reply)) => redirect(reply).is_some(),
        }
    }

    /// Whom keys are spread over, asked for afresh.
    pub(super) async fn masters(&self, deadline: Instant) -> Result<Masters, Error> {
        match self {
            Self::One(link) => Ok(Masters::One(Arc::clone(link))),
            Self::Cluster(cluster) => cluster.masters(deadline).await.map(Masters::Cluster),
        }
    }

    pub(super) fn close(&self) {
        match self {
            Self::One(link) => link.close(),
            Self::Cluster(cluster) => cluster.close(),
        }
    }

    async fn link_to(&self, key: &[u8], deadline: Instant) -> Result<Arc<Link>, Failure> {
        match self {
            Self::One(link) => Ok(Arc::clone(link)),
            Self::Cluster(cluster) => cluster.master_of(key, deadline).await,
        }
    }
}

/// What holds for many commands together.
#[derive(Clone, Copy)]
struct Limits {
    deadline: Instant,
    /// For each batch.
    budget: Duration,
    replay: Replay,
}

/// Sends those of the commands that are `members`, in batches.
async fn send(
    link: &Arc<Link>,
    members: &[usize],
    commands: &[Addressed],
    limits: Limits,
) -> Vec<(usize, Answer)> {
    let mut all = Vec::with_capacity(members.len());
    for batch in members.chunks(BATCH) {
        let mut pipeline = Pipeline::with_capacity(batch.len());
        for &at in batch {
            pipeline.add_command(commands[at].command.clone());
        }
        let deadline = limits.deadline.min(Instant::now() + limits.budget);
        match link.many(&pipeline, deadline, limits.replay).await {
            Ok(answers) => {
                let answers = answers.into_iter().map(|answer| match answer {
                    Value::ServerError(reply) => Err(Failure::Refused(reply)),
                    value => Ok(value),
                });
                all.extend(batch.iter().copied().zip(answers));
            }
            // The rest would fare no better.
            Err(failure) => {
                let rest = &members[all.len()..];
                all.extend(rest.iter().map(|&at| (at, Err(copy(&failure)))));
                break;
            }
        }
    }
    all
}

fn copy(failure: &Failure) -> Failure {
    match failure {
        Failure::Unsent(error) => Failure::Unsent(error.clone()),
        Failure::Unknown(error) => Failure::Unknown(error.clone()),
        Failure::Refused(reply) => Failure::Refused(reply.clone()),
    }
}

/// The servers that keys are spread over.
pub(super) enum Masters {
    One(Arc<Link>),
    Cluster(Arc<Topology>),
}

impl Masters {
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        match self {
            Self::One(link) => vec![Arc::clone(link)],
            Self::Cluster(topology) => topology.masters(),
        }
    }

    /// Whether keys are where they were.
    pub(super) fn are_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(_), Self::One(_)) => true,
            (Self::Cluster(one), Self::Cluster(other)) => one.is_like(other),
            _ => false,
        }
    }
}
