//! A cluster: a [`Link`] to each primary, and which of them serves which hash slot.
//!
//! A command goes to the primary that is thought to serve its key's hash slot. Three things can show that this is out of date: the
//! node answers `MOVED` (then the command goes where it says, and the cluster is asked again), `ASK` (the hash slot is on its way;
//! this one command follows it), or it cannot be reached (the cluster is asked again; if another primary has the hash slot by
//! now, the command goes there, else the caller is told). None of these carried the command out, so nothing is done twice. A lost
//! answer is not a reason to go elsewhere with a command that writes.
//!
//! However many callers want to know, the cluster is asked once, not more often than every 50 ms because of the same failure, and
//! several nodes at a time: the first to answer decides, so that a paused one costs nothing.

use super::breaker::BreakerSettings;
use super::dial::{Dial, host_of};
use super::driver::Driver;
use super::failure::{Failure, Redirect, broken, redirect};
use super::link::Link;
use super::request::{Replay, Single};
use super::topology::{self, Topology};
use super::watch::Watch;
use crate::backend::alarm;
use crate::backend::coherence::validity::Coverage;
use crate::backend::redis::address::{Secrets, moved_to};
use crate::backend::redis::event;
use crate::backend::redis::hash_slot::HashSlot;
use crate::error::Error;
use crate::sync::Mutex;
use redis::{Cmd, ConnectionInfo, Value, cmd};
use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;

/// How often a command is sent elsewhere before its caller is told.
const HOPS: u32 = 16;
/// The pause before a hash slot that is on its way is asked for again.
const PAUSE: Duration = Duration::from_millis(10);
/// The cluster is not asked more often than this because of a node that cannot be reached.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// How many nodes are asked at a time.
const NODES_ASKED: usize = 4;

pub(super) struct Cluster {
    seeds: Vec<Arc<Link>>,
    /// How to talk to a node.
    like: ConnectionInfo,
    budget: Duration,
    secrets: Secrets,
    driver: Arc<Driver>,
    breaker: BreakerSettings,
    /// If the nodes are to tell of writes.
    watch: Option<Watch>,
    nodes: Mutex<HashMap<(String, u16), Arc<Link>>>,
    topology: Mutex<Arc<Topology>>,
    /// When the cluster was last asked. Held while it is being asked.
    asked: AsyncMutex<Option<Instant>>,
}

impl Cluster {
    pub(super) fn new(
        seeds: Vec<ConnectionInfo>,
        budget: Duration,
        secrets: Secrets,
        driver: Arc<Driver>,
        breaker: BreakerSettings,
        watch: Option<Watch>,
    ) -> Self {
        let like = seeds[0].clone();
        let link = |info| {
            let driver = Arc::clone(&driver);
            Link::new(
                Dial::Address(info),
                budget,
                secrets.clone(),
                driver,
                breaker,
                watch.clone(),
            )
        };
        Self {
            seeds: seeds.into_iter().map(link).collect(),
            like,
            budget,
            secrets,
            driver,
            breaker,
            watch,
            nodes: Mutex::default(),
            topology: Mutex::default(),
            asked: AsyncMutex::default(),
        }
    }

    /// Sends a command to the node that serves `key`.
    pub(super) async fn one(
        self: &Arc<Self>,
        key: &[u8],
        command: &Cmd,
        deadline: Instant,
        replay: Replay,
    ) -> Result<Value, Failure> {
        let answer = self.covered(key, command, deadline, replay).await;
        answer.map(|(value, _)| value)
    }

    /// As [`one`](Self::one), with the coverage of the connection by which the answer came; none if that was from a node that does
    /// not own the hash slot yet.
    pub(super) async fn covered<R: Single>(
        self: &Arc<Self>,
        key: &[u8],
        command: &R,
        deadline: Instant,
        replay: Replay,
    ) -> Result<(Value, Option<Arc<Coverage>>), Failure> {
        let slot = HashSlot::of(key);
        let mut elsewhere: Option<(Arc<Link>, bool)> = None;
        let mut hops = 0;
        loop {
            let (link, asking) = match elsewhere.take() {
                Some(elsewhere) => elsewhere,
                None => (self.primary(slot, deadline).await?, false),
            };
            event::sent_to(link.endpoint());
            let version = self.topology().version;
            let answer = if asking {
                let answer = self.ask(&link, command, deadline).await;
                answer.map(|value| (value, None))
            } else {
                link.covered(command, deadline, replay).await
            };
            hops += 1;
            match answer {
                Err(Failure::Rejected(reply)) if hops < HOPS => match redirect(&reply) {
                    Some(Redirect::Moved(address)) => {
                        let Some(to) = self.at(address, &link) else {
                            return Err(Failure::Rejected(reply));
                        };
                        // That node is asked first: it knows at least of this hash slot. If it does not answer, the command
                        // goes there all the same.
                        let _ = self.look(version, Some(&to), deadline).await;
                        elsewhere = Some((to, false));
                    }
                    Some(Redirect::Ask(address)) => match self.at(address, &link) {
                        Some(to) => elsewhere = Some((to, true)),
                        None => return Err(Failure::Rejected(reply)),
                    },
                    Some(Redirect::TryAgain) => pause(deadline).await,
                    None => return Err(Failure::Rejected(reply)),
                },
                Err(Failure::Unsent(error)) if hops < HOPS => {
                    // Perhaps another primary has the hash slot by now.
                    let looked = self.look_after_failure(version, deadline).await;
                    let topology = self.topology();
                    match topology.primary(slot) {
                        Some(now) if looked && !Arc::ptr_eq(now, &link) => {}
                        _ => return Err(Failure::Unsent(error)),
                    }
                }
                answer => return answer,
            }
        }
    }

    /// The primary that is thought to serve a key.
    pub(super) async fn primary_of(
        self: &Arc<Self>,
        key: &[u8],
        deadline: Instant,
    ) -> Result<Arc<Link>, Failure> {
        self.primary(HashSlot::of(key), deadline).await
    }

    async fn primary(
        self: &Arc<Self>,
        slot: HashSlot,
        deadline: Instant,
    ) -> Result<Arc<Link>, Failure> {
        let topology = self.topology();
        if let Some(primary) = topology.primary(slot) {
            return Ok(Arc::clone(primary));
        }
        let looked = self.look(topology.version, None, deadline).await;
        looked.map_err(Failure::Unsent)?;
        match self.topology().primary(slot) {
            Some(primary) => Ok(Arc::clone(primary)),
            None => {
                let text = format!("no node of the cluster serves slot {slot}");
                Err(Failure::Unsent(Error::connection(text)))
            }
        }
    }

    /// All primaries, asked for afresh.
    pub(super) async fn primaries(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<Arc<Topology>, Error> {
        self.look(self.topology().version, None, deadline).await?;
        let topology = self.topology();
        if topology.is_whole() {
            Ok(topology)
        } else {
            let text = "some slots of the cluster have no master";
            Err(Error::connection(text))
        }
    }

    /// The nodes that are known: those that have hash slots, and those that the URL names.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.candidates(None)
    }

    pub(super) fn close(&self) {
        self.links().iter().for_each(|link| link.close());
    }

    /// Sends to a node that does not own the hash slot yet.
    async fn ask<R: Single>(
        &self,
        link: &Arc<Link>,
        request: &R,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        let mut all = redis::Pipeline::new();
        all.cmd("ASKING");
        for command in request.commands() {
            all.add_command(command);
        }
        let answers = link.many(&all, deadline, Replay::Unsafe).await?;
        match request.answer(answers.into_iter().skip(1).collect()) {
            Ok(Value::ServerError(reply)) => Err(Failure::Rejected(reply)),
            Ok(value) => Ok(value),
            Err(error) => Err(Failure::Unknown(broken(link.name(), &error, &self.secrets))),
        }
    }

    fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology.lock())
    }

    /// The link to `host:port`, as the node that was asked wrote it.
    fn at(&self, address: &str, asked: &Arc<Link>) -> Option<Arc<Link>> {
        let (host, port) = address.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(self.link(host, port.parse().ok()?, asked))
    }

    /// The link to a node. An empty host is that of the node that was asked.
    fn link(&self, host: &str, port: u16, asked: &Arc<Link>) -> Arc<Link> {
        let host = match (host, asked.dial()) {
            ("", Dial::Address(info)) => host_of(info),
            _ => host,
        };
        let mut nodes = self.nodes.lock();
        let new = || {
            let dial = Dial::Address(moved_to(&self.like, host, port));
            let seed = self.seeds.iter().find(|seed| seed.dial().leads_to(&dial));
            seed.cloned().unwrap_or_else(|| {
                let driver = Arc::clone(&self.driver);
                Link::new(
                    dial,
                    self.budget,
                    self.secrets.clone(),
                    driver,
                    self.breaker,
                    self.watch.clone(),
                )
            })
        };
        Arc::clone(nodes.entry((host.to_owned(), port)).or_insert_with(new))
    }

    /// As [`look`](Self::look), unless that was done just now; says whether there is a new answer.
    async fn look_after_failure(self: &Arc<Self>, version: u64, deadline: Instant) -> bool {
        let last = alarm::until(deadline, self.asked.lock()).await;
        let is_due = last.is_some_and(|last| is_due(*last, Instant::now()));
        if is_due {
            let _ = self.look(version, None, deadline).await;
        }
        self.topology().version != version
    }

    /// Asks the cluster which node serves what, unless that has been done since `version`.
    ///
    /// In a task on the driver: a caller who stands still or gives up must not keep all others from knowing.
    async fn look(
        self: &Arc<Self>,
        version: u64,
        first: Option<&Arc<Link>>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let (cluster, first) = (Arc::clone(self), first.cloned());
        let work = async move { cluster.ask_around(version, first.as_ref(), deadline).await };
        let looking = self.driver.runtime()?.spawn(work);
        match alarm::until(deadline, looking).await {
            Some(Ok(looked)) => looked,
            Some(Err(_)) => Err(Error::connection("shut down")),
            None => Err(late()),
        }
    }

    async fn ask_around(
        &self,
        version: u64,
        first: Option<&Arc<Link>>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let asked = alarm::until(deadline, self.asked.lock()).await;
        let mut asked = asked.ok_or_else(late)?;
        if self.topology().version != version {
            return Ok(());
        }
        let now = Instant::now();
        *asked = Some(now);
        let mut last = Error::connection("no node of the cluster is known");
        let for_each = each_question_ends(now, deadline);
        for few in self.candidates(first).chunks(NODES_ASKED) {
            let mut questions = JoinSet::new();
            for link in few.iter().cloned() {
                questions.spawn(async move {
                    let mut question = cmd("CLUSTER");
                    question.arg("SLOTS");
                    let answer = link.one(&question, for_each, Replay::Safe).await;
                    (link, answer)
                });
            }
            loop {
                let ended = alarm::until(deadline, questions.join_next()).await;
                let (link, answer) = match ended.ok_or_else(late)? {
                    Some(Ok(ended)) => ended,
                    Some(Err(_)) => continue,
                    None => break,
                };
                match answer.map(topology::read) {
                    Ok(Some(served)) if !served.is_empty() => {
                        let find = |host: &str, port| self.link(host, port, &link);
                        self.adopt(Topology::new(version + 1, served, find));
                        return Ok(());
                    }
                    Ok(_) => {
                        let text = format!("{} serves no slots of a cluster", link.name());
                        last = Error::connection(text);
                    }
                    Err(failure) => last = failure.into_error(&self.secrets),
                }
            }
        }
        Err(last)
    }

    fn adopt(&self, topology: Topology) {
        let primaries = topology.primaries();
        let new = Arc::new(topology);
        let old = std::mem::replace(&mut *self.topology.lock(), Arc::clone(&new));
        if let Some(watch) = &self.watch
            && !new.is_like(&old)
        {
            // What was read from the node that served a key is no longer announced there. Behind the change: whoever asks for a
            // key from now on asks the node that serves it.
            watch.tracking.invalidate_all();
        }
        // Commands under way hold the links that they use.
        let mut nodes = self.nodes.lock();
        let is_primary = |link: &Arc<Link>| primaries.iter().any(|it| Arc::ptr_eq(it, link));
        let gone: Vec<_> = nodes.extract_if(|_, link| !is_primary(link)).collect();
        drop(nodes);
        drop(gone);
    }

    /// The nodes to ask, in this order: `first`, those that are connected, the others that are known, the seeds.
    fn candidates(&self, first: Option<&Arc<Link>>) -> Vec<Arc<Link>> {
        let mut known: Vec<Arc<Link>> = self.nodes.lock().values().cloned().collect();
        known.sort_by_key(|link| !link.is_up());
        let all = first.into_iter().cloned();
        once_each(all.chain(known).chain(self.seeds.iter().cloned()))
    }
}

/// The links in their order, without those that came before.
fn once_each(links: impl Iterator<Item = Arc<Link>>) -> Vec<Arc<Link>> {
    let mut met: Vec<Arc<Link>> = Vec::new();
    for link in links {
        if !met.iter().any(|other| Arc::ptr_eq(other, &link)) {
            met.push(link);
        }
    }
    met
}

fn late() -> Error {
    Error::timeout("the cluster does not say who serves what")
}

/// Whether a failure is a reason to ask the cluster, which was last asked then.
fn is_due(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= ASK_AGAIN)
}

/// The deadline of each question to a node: before that of the caller, so that a node that does not answer is found out and not
/// asked again soon.
fn each_question_ends(now: Instant, deadline: Instant) -> Instant {
    now + deadline.saturating_duration_since(now) * 3 / 4
}

/// Before a hash slot that is on its way is asked for again.
async fn pause(deadline: Instant) {
    let over = alarm::after(PAUSE).min(deadline);
    let _: Option<()> = alarm::until(over, pending()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cluster_is_not_asked_again_at_once() {
        let asked = Instant::now();
        let after = |millis| asked + Duration::from_millis(millis);
        assert!(is_due(None, asked), "it was never asked");
        for (millis, due) in [(0, false), (49, false), (50, true), (60_000, true)] {
            assert_eq!(is_due(Some(asked), after(millis)), due, "{millis}");
        }
        assert!(
            !is_due(Some(after(1)), asked),
            "another has asked meanwhile"
        );
    }

    #[test]
    fn a_question_ends_before_its_caller_does() {
        let now = Instant::now();
        let after = |millis| now + Duration::from_millis(millis);
        assert_eq!(each_question_ends(now, after(1_000)), after(750));
        assert_eq!(each_question_ends(now, now), now);
        assert_eq!(
            each_question_ends(after(10), now),
            after(10),
            "too late already"
        );
    }
}
