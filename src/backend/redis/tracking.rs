//! What is known of client tracking by all connections of a backend: which keys have been written by anybody.
//!
//! With tracking on (`CLIENT TRACKING ON`), a server remembers which keys a connection has read, and sends an `invalidate` message
//! by that connection when one of them is written, expires or is evicted; with broadcasting (`BCAST`), whenever a key with the
//! prefix is. After a `FLUSHALL` the message names no keys. `servers::watch` switches it on and hands the messages over.

use crate::backend::coherence::validity::{Generations, Ticket};
use crate::time::Clock;
use redis::{Cmd, PushInfo, PushKind, Value, cmd};
use std::time::Duration;

/// Shared by the connections of a backend, which write, and by who keeps copies of what they read.
pub(in crate::backend) struct Tracking {
    generations: Generations,
    hasher: ahash::RandomState,
    /// What every key on the server starts with.
    prefix: Box<str>,
    clock: Clock,
    /// How long after the last proof that a connection is alive copies are shown of what it has read.
    bound: Duration,
    broadcasts: bool,
}

impl Tracking {
    pub(in crate::backend) fn new(
        prefix: &str,
        stripes: usize,
        bound: Duration,
        broadcasts: bool,
    ) -> Self {
        Self {
            generations: Generations::new(stripes),
            hasher: ahash::RandomState::new(),
            prefix: prefix.into(),
            clock: Clock::system(),
            bound,
            broadcasts,
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
        self.generations.invalidate(self.hash(key.as_bytes()));
    }

    /// The command that switches tracking on.
    pub(super) fn switch_on(&self) -> Cmd {
        let mut on = cmd("CLIENT");
        on.arg("TRACKING").arg("ON");
        if self.broadcasts {
            on.arg("BCAST").arg("PREFIX").arg(&*self.prefix);
        }
        on
    }

    /// What a server sent unasked. Whatever looks like an invalidation and cannot be read invalidates everything.
    pub(super) fn hear(&self, push: &PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        let Some(Value::Array(keys)) = push.data.first() else {
            return self.generations.invalidate_all();
        };
        for key in keys {
            match key {
                Value::BulkString(key) => self.hear_of(key),
                Value::SimpleString(key) => self.hear_of(key.as_bytes()),
                _ => self.generations.invalidate_all(),
            }
        }
    }

    /// A key as it is on the server. Another program's is none of ours.
    fn hear_of(&self, key: &[u8]) {
        if let Some(key) = key.strip_prefix(self.prefix.as_bytes()) {
            self.generations.invalidate(self.hash(key));
        }
    }

    fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracking() -> Tracking {
        Tracking::new("p:", 1 << 16, Duration::from_secs(1), false)
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
    fn an_own_write_invalidates_as_a_message_does() {
        let tracking = tracking();
        let ticket = tracking.ticket("a");
        tracking.invalidate("a");
        assert!(!tracking.generations.is_current(&ticket));
    }
}
