//! What all connections of a backend know of writes: which keys have been written, as far as anybody says so.
//!
//! With tracking on (`CLIENT TRACKING ON`), a server remembers which keys a connection has read, and sends an `invalidate` message
//! by that connection when one of them is written, expires or is evicted; with broadcasting (`BCAST`), whenever a key with the
//! prefix is. After a `FLUSHALL` the message names no keys. On a channel of their own (`Coherence::Backplane`), those who write say
//! what: see `notice`. `servers::watch` switches it on and hands the messages over.

use super::command::leased;
use super::notice::{self, Channel};
use crate::backend::coherence::Coherence;
use crate::backend::coherence::validity::{Coverage, Generations, Ticket};
use crate::backend::tag;
use crate::backend::tag_changes::TagChanges;
use crate::sync::Notify;
use crate::time::Clock;
use redis::{Cmd, PushInfo, PushKind, Value, cmd};
use std::future::Future;
use std::time::Duration;

/// In so many groups are those who wait for changes: who waits in one is woken with all others in it.
const GROUPS: usize = 64;

/// Shared by the connections of a backend, which write, and by who keeps copies of what they read.
pub(in crate::backend) struct Tracking {
    generations: Generations,
    hasher: ahash::RandomState,
    /// What every key on the server starts with.
    prefix: Box<str>,
    clock: Clock,
    /// How long after the last proof that a connection is alive copies are shown of what it has read.
    bound: Duration,
    way: Way,
    /// What is heard of the versions of tags.
    tag_changes: Option<TagChanges>,
    /// For those who wait for a change of a key, by its hash.
    changes: Box<[Notify]>,
}

/// By whom connections are told of writes.
enum Way {
    /// By the server, of what they have read.
    Reads,
    /// By the server, of all that starts with the prefix.
    Prefix,
    /// By those who write.
    Channel(Channel),
}

impl Tracking {
    pub(in crate::backend) fn new(
        prefix: &str,
        stripes: usize,
        bound: Duration,
        coherence: Coherence,
    ) -> Self {
        let way = match coherence {
            // Where nothing is told there are no connections to be told by.
            Coherence::Tracking | Coherence::NearTtl => Way::Reads,
            Coherence::Broadcast => Way::Prefix,
            Coherence::Backplane => Way::Channel(Channel::of(prefix)),
        };
        Self {
            generations: Generations::new(stripes),
            hasher: ahash::RandomState::new(),
            prefix: prefix.into(),
            clock: Clock::system(),
            bound,
            way,
            tag_changes: None,
            changes: (0..GROUPS).map(|_| Notify::new()).collect(),
        }
    }

    /// Counts changes of the versions of tags. What is known of these serves for so long without another look.
    pub(in crate::backend) fn counting_tags(mut self, every: Duration) -> Self {
        self.tag_changes = TagChanges::new(every);
        self
    }

    pub(in crate::backend) fn tag_changes(&self) -> Option<&TagChanges> {
        self.tag_changes.as_ref()
    }

    /// For how long what is known of a key serves after a look, in milliseconds: not at all, unless it is a version's.
    pub(in crate::backend) fn serves_after(&self, key: &str) -> u64 {
        match &self.tag_changes {
            Some(changes) if tag::is_reserved(key) => changes.every(),
            _ => 0,
        }
    }

    /// Milliseconds on the clock of the proofs.
    #[inline]
    pub(in crate::backend) fn now(&self) -> u64 {
        self.clock.recently()
    }

    /// How much later than the last proof copies are shown, in milliseconds.
    pub(super) fn bound_millis(&self) -> u64 {
        u64::try_from(self.bound.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn bound(&self) -> Duration {
        self.bound
    }

    #[inline]
    pub(in crate::backend) fn generations(&self) -> &Generations {
        &self.generations
    }

    /// To be taken before a server is asked for the key.
    pub(in crate::backend) fn ticket(&self, key: &str) -> Ticket {
        self.generations.ticket(self.hash(key.as_bytes()))
    }

    /// A key was written, by this process or by another.
    pub(in crate::backend) fn invalidate(&self, key: &str) {
        self.heard_of(key.as_bytes());
    }

    /// Any key may have been written by this process.
    pub(in crate::backend) fn invalidate_all(&self) {
        self.generations.invalidate_all();
        self.versions_changed();
    }

    /// A connection by which copies came is gone.
    pub(super) fn lose(&self, coverage: &Coverage) {
        coverage.lose();
        self.versions_changed();
    }

    /// Ends when the key or its lease has changed, as far as is known here, since this was called; and now and then without that.
    pub(in crate::backend) fn change(&self, key: &str) -> impl Future<Output = ()> + Send + '_ {
        // It counts what comes from now on, whenever it is polled.
        self.group(self.hash(key.as_bytes())).notified()
    }

    /// The channel on which those who write tell of it, if they do.
    pub(super) fn channel(&self) -> Option<&Channel> {
        match &self.way {
            Way::Channel(channel) => Some(channel),
            Way::Reads | Way::Prefix => None,
        }
    }

    /// The command that switches it on by which servers tell a connection of writes.
    pub(super) fn switch_on(&self) -> Cmd {
        let mut on = cmd("CLIENT");
        on.arg("TRACKING").arg("ON");
        match &self.way {
            Way::Reads => on,
            Way::Prefix => {
                on.arg("BCAST").arg("PREFIX").arg(&*self.prefix);
                on
            }
            Way::Channel(channel) => channel.subscribe(),
        }
    }

    /// What a server sent unasked. Whatever looks like an invalidation and cannot be read invalidates everything.
    pub(super) fn hear(&self, push: &PushInfo) {
        match (&self.way, &push.kind) {
            (Way::Reads | Way::Prefix, PushKind::Invalidate) => self.hear_server(&push.data),
            (Way::Channel(_), PushKind::Message) => self.hear_writer(&push.data),
            _ => {}
        }
    }

    /// A channel, and what somebody has published on it.
    fn hear_writer(&self, message: &[Value]) {
        let keys = match message {
            [_, Value::BulkString(notice)] => notice::keys(notice),
            _ => None,
        };
        match keys {
            Some(keys) => keys.into_iter().for_each(|key| self.heard_of(key)),
            None => self.heard_of_all(),
        }
    }

    fn hear_server(&self, message: &[Value]) {
        let Some(Value::Array(keys)) = message.first() else {
            return self.heard_of_all();
        };
        for key in keys {
            match key {
                Value::BulkString(key) => self.hear_of(key),
                Value::SimpleString(key) => self.hear_of(key.as_bytes()),
                _ => self.heard_of_all(),
            }
        }
    }

    /// A key as it is on the server. Another program's is none of ours.
    fn hear_of(&self, key: &[u8]) {
        if let Some(key) = key.strip_prefix(self.prefix.as_bytes()) {
            // Of a lease there are no copies, but those who wait for its key wait for it, too.
            self.heard_of(leased(key).unwrap_or(key));
        }
    }

    fn heard_of(&self, key: &[u8]) {
        let hash = self.hash(key);
        self.generations.invalidate(hash);
        if tag::is_reserved(key) {
            self.versions_changed();
        }
        self.group(hash).notify_waiters();
    }

    /// Behind the invalidation: who reads the next count finds no copy that was there before.
    fn versions_changed(&self) {
        if let Some(changes) = &self.tag_changes {
            changes.changed();
        }
    }

    fn heard_of_all(&self) {
        self.invalidate_all();
        for group in &self.changes {
            group.notify_waiters();
        }
    }

    fn group(&self, hash: u64) -> &Notify {
        // Cut off: any part of a hash will do.
        &self.changes[hash as usize % self.changes.len()]
    }

    pub(in crate::backend) fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::redis::command::{Key, lease_of};
    use std::pin::Pin;
    use std::task::{Context, Waker};

    fn tracking() -> Tracking {
        Tracking::new("p:", 1 << 16, Duration::from_secs(1), Coherence::Tracking)
    }

    fn push(kind: PushKind, data: Vec<Value>) -> PushInfo {
        PushInfo { kind, data }
    }

    fn keys(keys: &[&str]) -> Vec<Value> {
        let keys = keys
            .iter()
            .map(|key| Value::BulkString(key.as_bytes().to_vec()));
        vec![Value::Array(keys.collect())]
    }

    #[test]
    fn a_message_invalidates_the_keys_that_it_names() {
        let tracking = tracking();
        let tickets = ["a", "b", "c"].map(|key| tracking.ticket(key));
        let current = || tickets.map(|ticket| tracking.generations.is_current(&ticket));
        tracking.hear(&push(PushKind::Invalidate, keys(&["p:a", "q:b", "c"])));
        assert_eq!(current(), [false, true, true]);
        tracking.hear(&push(PushKind::Message, keys(&["p:b"])));
        assert_eq!(current(), [false, true, true]);
        tracking.hear(&push(PushKind::Invalidate, keys(&["p:b", "p:c"])));
        assert_eq!(current(), [false; 3]);
    }

    #[test]
    fn a_message_that_names_no_keys_invalidates_all() {
        for data in [
            vec![],
            vec![Value::Nil],
            vec![Value::Int(1)],
            vec![Value::Array(vec![Value::Int(1)])],
        ] {
            let tracking = tracking();
            let ticket = tracking.ticket("a");
            tracking.hear(&push(PushKind::Invalidate, data));
            assert!(!tracking.generations.is_current(&ticket));
        }
    }

    #[test]
    fn writers_say_what_they_have_written() {
        let second = Duration::from_secs(1);
        let tracking = Tracking::new("p:", 1 << 16, second, Coherence::Backplane);
        let tickets = ["a", "b", "c"].map(|key| tracking.ticket(key));
        let current = || tickets.map(|ticket| tracking.generations.is_current(&ticket));
        let told = |notice: &[u8]| {
            let channel = Value::BulkString(b"p:nori-cache:written".to_vec());
            push(
                PushKind::Message,
                vec![channel, Value::BulkString(notice.to_vec())],
            )
        };
        tracking.hear(&told(b"k"));
        tracking.hear(&push(PushKind::Invalidate, keys(&["p:b"])));
        tracking.hear(&push(PushKind::Subscribe, keys(&["p:b"])));
        assert_eq!(current(), [true; 3]);
        tracking.hear(&told(b"k\0\0\0\x01a\0\0\0\x01z"));
        assert_eq!(current(), [false, true, true]);
        for anything in [
            told(b"*"),
            told(b"k\0\0\0\x01"),
            push(PushKind::Message, vec![]),
            push(PushKind::Message, vec![Value::Nil, Value::Int(1)]),
        ] {
            let ticket = tracking.ticket("c");
            tracking.hear(&anything);
            assert!(!tracking.generations.is_current(&ticket));
        }
        assert_eq!(current(), [false; 3]);
    }

    #[test]
    fn who_waits_for_a_change_is_told_of_the_key_and_of_its_lease() {
        fn lease(key: &str) -> Vec<u8> {
            let prefix = "p:";
            let lease = lease_of(Key { prefix, key });
            [prefix.as_bytes(), key.as_bytes(), &lease.suffix].concat()
        }
        let of = |key: Vec<u8>| vec![Value::Array(vec![Value::BulkString(key)])];
        let is_ready = |change: &mut Pin<Box<dyn Future<Output = ()> + Send + '_>>| {
            let mut context = Context::from_waker(Waker::noop());
            change.as_mut().poll(&mut context).is_ready()
        };
        for told in [keys(&["p:a"]), of(lease("a")), vec![Value::Nil]] {
            let tracking = tracking();
            // One that nobody is woken with who waits for `a`.
            let group = |key: &str| tracking.hash(key.as_bytes()) as usize % GROUPS;
            let others = (0..).map(|nth| format!("other {nth}"));
            let other = { others }.find(|other| group(other) != group("a"));
            let other = other.unwrap();
            let mut change: Pin<Box<dyn Future<Output = ()> + Send + '_>> =
                Box::pin(tracking.change("a"));
            tracking.hear(&push(PushKind::Invalidate, of(lease(&other))));
            tracking.hear(&push(PushKind::Invalidate, keys(&[&format!("p:{other}")])));
            assert!(!is_ready(&mut change));
            tracking.hear(&push(PushKind::Invalidate, told));
            assert!(is_ready(&mut change));
        }
    }

    #[test]
    fn an_own_write_invalidates_as_a_message_does() {
        let tracking = tracking();
        let ticket = tracking.ticket("a");
        tracking.invalidate("a");
        assert!(!tracking.generations.is_current(&ticket));
    }
}
