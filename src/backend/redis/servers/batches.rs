//! Many commands to many servers: to each in batches and in order, to all at once.

use super::Addressed;
use super::announced::{Announced, Telling};
use super::failure::{Answer, Failure};
use super::link::Link;
use super::request::Replay;
use crate::backend::alarm;
use crate::backend::redis::hash_slot::HashSlot;
use redis::{Pipeline, Value};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

/// At most this many commands are sent in one go; the server answers others in between.
pub(super) const BATCH: usize = 1_000;

/// The commands that go to one server, by their positions among all.
pub(super) struct Group {
    pub(super) link: Arc<Link>,
    pub(super) members: Vec<usize>,
}

/// What the commands of one call have in common.
#[derive(Clone, Copy)]
pub(super) struct Terms<'s> {
    /// Of all together.
    pub(super) deadline: Instant,
    /// Of each batch.
    pub(super) budget: Duration,
    pub(super) replay: Replay,
    pub(super) telling: Telling<'s>,
    /// Whether keys are in hash slots, which transactions do not span.
    pub(super) has_slots: bool,
}

/// How long so many commands may take together: the budget of a round trip for each batch that may be needed.
pub(super) fn budget_of(commands: usize, budget: Duration) -> Duration {
    let batches = u32::try_from(commands.div_ceil(BATCH)).unwrap_or(u32::MAX);
    budget.saturating_mul(batches.max(1))
}

/// Sends all groups side by side. The answers come with the positions of their commands.
pub(super) async fn send(
    groups: &[Group],
    commands: &[Addressed],
    terms: Terms<'_>,
) -> Vec<(usize, Answer)> {
    let sending = groups
        .iter()
        .map(|group| send_group(group, commands, terms));
    together(sending).await.into_iter().flatten().collect()
}

async fn send_group(
    group: &Group,
    commands: &[Addressed],
    terms: Terms<'_>,
) -> Vec<(usize, Answer)> {
    let members = &group.members;
    let mut all = Vec::with_capacity(members.len());
    for batch in members.chunks(BATCH) {
        let deadline = terms.deadline.min(alarm::after(terms.budget));
        let clones = batch.iter().map(|&at| commands[at].command.clone());
        let keys = || batch.iter().map(|&at| &*commands[at].key);
        let sent = match terms.telling.notice(keys()) {
            None => {
                let mut pipeline = Pipeline::with_capacity(batch.len());
                for command in clones {
                    pipeline.add_command(command);
                }
                group.link.many(&pipeline, deadline, terms.replay).await
            }
            Some(notice) => {
                let in_one = !terms.has_slots || are_in_one_slot(keys());
                let announced = Announced::new(clones.collect(), notice, in_one);
                group.link.many(&announced, deadline, terms.replay).await
            }
        };
        match sent {
            Ok(answers) => {
                let answers = answers.into_iter().map(|answer| match answer {
                    Value::ServerError(reply) => Err(Failure::Rejected(reply)),
                    value => Ok(value),
                });
                all.extend(batch.iter().copied().zip(answers));
            }
            // The rest would fare no better.
            Err(failure) => {
                let rest = &members[all.len()..];
                all.extend(rest.iter().map(|&at| (at, Err(failure.clone()))));
                break;
            }
        }
    }
    all
}

fn are_in_one_slot<'k>(keys: impl Iterator<Item = &'k [u8]>) -> bool {
    let mut slots = keys.map(HashSlot::of);
    let first = slots.next();
    slots.all(|slot| Some(slot) == first)
}

/// Runs futures side by side, in the caller's task; there are few.
pub(super) async fn together<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_commands_have_the_budget_of_their_batches() {
        let second = Duration::from_secs(1);
        for (commands, batches) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (10_000, 10)] {
            assert_eq!(budget_of(commands, second), batches * second, "{commands}");
        }
        assert_eq!(budget_of(usize::MAX, Duration::MAX), Duration::MAX);
    }
}
