//! One server or many: where commands go.

use super::address::{Secrets, Target};
use super::cluster::Cluster;
use super::dial::Dial;
use super::driver::Driver;
use super::failure::{Failure, redirect};
use super::link::{Link, Replay};
use super::topology::Topology;
use crate::backend::alarm;
use crate::error::Error;
use redis::{Cmd, Pipeline, Value};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// As many commands are sent in one go at most; the server answers others in between.
pub(super) const BATCH: usize = 1_000;

pub(super) enum Servers {
    One(Arc<Link>),
    Cluster(Arc<Cluster>),
}

/// A command and the key that says where it goes.
pub(super) struct Addressed {
    pub(super) key: Vec<u8>,
    pub(super) command: Cmd,
}

type Answer = Result<Value, Failure>;

impl Servers {
    pub(super) fn new(target: Target, patience: Duration, secrets: &Secrets) -> Self {
        let driver = Driver::share();
        let one = |dial| {
            let driver = Arc::clone(&driver);
            Self::One(Link::new(dial, patience, secrets.clone(), driver))
        };
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
                let cluster = Cluster::new(seeds, patience, secrets.clone(), driver);
                Self::Cluster(Arc::new(cluster))
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
        let batches = u32::try_from(commands.len().div_ceil(BATCH)).unwrap_or(u32::MAX);
        let deadline = alarm::after(budget.saturating_mul(batches.max(1)));
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
        let sending = groups
            .iter()
            .map(|(link, members)| send(link, members, &commands, limits));
        for (at, answer) in together(sending).await.into_iter().flatten() {
            answers[at] = Some(answer);
        }
        let mut all = Vec::with_capacity(answers.len());
        for (at, answer) in answers.into_iter().enumerate() {
            let answer = match answer {
                Some(answer) => answer,
                None => Err(Failure::Unsent(Error::connection("not sent"))),
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
        let deadline = limits.deadline.min(alarm::after(limits.budget));
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

/// Runs futures side by side, in the caller's task; there are few.
async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    let mut outputs = Vec::with_capacity(running.len());
    poll_fn(|context| {
        running.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(output) => {
                outputs.push(output);
                false
            }
            Poll::Pending => true,
        });
        if running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    outputs
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
