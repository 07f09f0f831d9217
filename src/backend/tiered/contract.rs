//! The contract, call by call. All that writes works on the far tier; see the essay.

use super::TieredCacheBackend;
use super::near::Look;
use super::repair::Held;
use crate::backend::coherence::Coherence;
use crate::backend::coherence::validity::Ticket;
use crate::backend::lease::{Lease, Leased, Leases, Taken};
use crate::backend::redis::Fetched;
use crate::backend::stats::Operation;
use crate::backend::{
    BackendFuture, BackendStats, CacheBackend, Codec, Flights, LoadOptions, TagChanges, Value,
};
use crate::error::Error;
use crate::time::Ttl;
use std::time::Duration;

/// So many keys that are read together are each asked for as if they were read alone.
const FEW: usize = 16;

/// A write of this process: when it ends, in whatever way, copies of what it may have changed are out of date, and what it has left to be
/// done is noted.
struct Write<'b, 'k> {
    backend: &'b TieredCacheBackend,
    changes: Changes<'k>,
    kind: Kind,
    /// What was to be done about its keys before.
    held: Held,
    end: End,
}

enum Changes<'k> {
    Key(&'k str),
    Keys(&'k [&'k str]),
    Owned(Vec<&'k str>),
    All,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// If it fails, what it was to replace is removed later.
    Replaces,
    /// If it fails, all is as it was, or as its caller was told: see `repair`.
    Updates,
}

/// How a write ended.
enum End {
    /// It failed, or was given up.
    Unknown,
    /// It did nothing.
    Undone,
    Done,
    /// Of each key, whether it was written.
    Each(Vec<bool>),
}

impl Changes<'_> {
    fn keys(&self) -> &[&str] {
        match self {
            Self::Key(key) => std::slice::from_ref(key),
            Self::Keys(keys) => keys,
            Self::Owned(keys) => keys,
            Self::All => &[],
        }
    }
}

impl End {
    fn of_update(has_stored: &bool) -> Self {
        if *has_stored {
            Self::Done
        } else {
            Self::Undone
        }
    }
}

impl Write<'_, '_> {
    /// What it came to.
    fn ended<T>(
        mut self,
        result: Result<T, Error>,
        end: impl FnOnce(&T) -> End,
    ) -> Result<T, Error> {
        self.end = match &result {
            Ok(answer) => end(answer),
            // It was not sent.
            Err(error) if error.is_encoding() || error.is_closed() => End::Undone,
            Err(_) => End::Unknown,
        };
        result
    }

    fn note(&self) {
        let (repairs, keys) = (&self.backend.repairs, self.changes.keys());
        let held = |key: &&&str| self.held.has(key);
        match &self.end {
            End::Done if matches!(self.changes, Changes::All) => repairs.flushed(&self.held),
            End::Done => {}
            End::Unknown if matches!(self.changes, Changes::All) => repairs.note_flush(),
            End::Unknown if self.kind == Kind::Replaces => repairs.note(keys.iter().copied()),
            End::Unknown | End::Undone => {
                repairs.note(keys.iter().filter(held).copied());
            }
            End::Each(written) => {
                let keys = keys.iter().zip(written);
                let undone = keys.filter_map(|(key, written)| (!written).then_some(key));
                repairs.note(undone.filter(held).copied());
            }
        }
    }
}

impl Drop for Write<'_, '_> {
    fn drop(&mut self) {
        // First: who finds a copy out of date asks whether there is something to be done before it asks the server.
        self.note();
        let tracking = &self.backend.tracking;
        match &self.changes {
            Changes::All => tracking.invalidate_all(),
            changes => changes
                .keys()
                .iter()
                .for_each(|key| tracking.invalidate(key)),
        }
    }
}

impl TieredCacheBackend {
    fn writes<'a>(&'a self, changes: Changes<'a>, kind: Kind) -> Write<'a, 'a> {
        Write {
            held: self.repairs.begin(changes.keys()),
            backend: self,
            changes,
            kind,
            end: End::Unknown,
        }
    }

    /// Asks the far tier, and keeps a copy.
    async fn fetch(&self, key: &str) -> Result<Option<Value>, Error> {
        // Before the look for repairs: a write that fails after that makes the ticket out of date.
        let (ticket, asked) = (self.tracking.ticket(key), self.tracking.now());
        let repaired = self.repairs.before_reading(&[key]).await;
        repaired.map_err(|error| error.during("get", Some(key)))?;
        self.count_far_reads(1);
        let fetched = self.far.fetch(key).await;
        let fetched = fetched.inspect_err(|error| {
            if error.is_wrong_type() {
                self.near.forget(key);
            }
        })?;
        Ok(self.kept(key, ticket, asked, fetched))
    }

    /// As [`fetch`](Self::fetch), of a few keys, in their order.
    async fn fetch_few(&self, keys: &[&str]) -> Result<Vec<Option<Value>>, Error> {
        let asked = self.tracking.now();
        let tickets: Vec<Ticket> = keys.iter().map(|key| self.tracking.ticket(key)).collect();
        self.repaired(keys).await?;
        let fetched = self.far.fetch_few(keys).await?;
        let kept = fetched.into_iter().zip(keys).zip(tickets);
        let kept = kept.map(|((fetched, key), ticket)| self.kept(key, ticket, asked, fetched));
        Ok(kept.collect())
    }

    /// Repairs what is to be, of many keys that are about to be read.
    async fn repaired(&self, keys: &[&str]) -> Result<(), Error> {
        let repaired = self.repairs.before_reading(keys).await;
        repaired.map_err(|error| error.during("get_many", None))
    }

    /// What was fetched, of which a copy is kept if that may be.
    fn kept(&self, key: &str, ticket: Ticket, asked: u64, fetched: Fetched) -> Option<Value> {
        let Some(terms) = fetched.terms else {
            self.near.forget(key);
            return fetched.value;
        };
        let value = fetched.value.map(Value::remembering);
        let copy = value.clone();
        self.near
            .keep(&self.tracking, key, ticket, asked, copy, terms);
        value
    }

    /// What is under a key, if that is known here; else why not.
    fn copy(&self, key: &str) -> Result<Option<Value>, Look> {
        let mut copy = None;
        let show = |value: &Value| copy = Some(value.clone());
        match self.near.show(&self.tracking, key, show) {
            Look::Known => Ok(copy),
            look => Err(look),
        }
    }

    /// Asks the far tier, and keeps a copy if it is to be kept.
    fn ask<'a>(&'a self, key: &'a str, is_kept: bool) -> BackendFuture<'a, Option<Value>> {
        if is_kept || self.repairs.is_pending() {
            return BackendFuture::boxed(self.fetch(key));
        }
        self.count_far_reads(1);
        self.far.get_value(key)
    }
}

impl CacheBackend for TieredCacheBackend {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        match self.copy(key) {
            Ok(known) => BackendFuture::ready(Ok(known)),
            Err(look) => self.ask(key, self.near.wants(&self.tracking, key, look)),
        }
    }

    fn latest_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.ask(key, self.near.has_place(key))
    }

    fn last_known(&self, key: &str) -> Option<Value> {
        self.near.last_known(&self.tracking, key)
    }

    #[inline]
    fn read_now(&self, key: &str, read: &mut (dyn FnMut(&Value) + Send)) -> bool {
        self.near.show(&self.tracking, key, read) == Look::Known
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::boxed(async move {
            let write = self.writes(Changes::Key(key), Kind::Replaces);
            let set = self.far.set_value(key, value, ttl).await;
            write.ended(set, |()| End::Done)
        })
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        BackendFuture::boxed(async move {
            let write = self.writes(Changes::Key(key), Kind::Replaces);
            let deleted = self.far.delete_value(key).await;
            write.ended(deleted, |_| End::Done)
        })
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        BackendFuture::boxed(async move {
            let write = self.writes(Changes::All, Kind::Replaces);
            let flushed = self.far.flush_values().await;
            let flushed = write.ended(flushed, |()| End::Done);
            self.near.clear();
            flushed
        })
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        BackendFuture::boxed(async move {
            let write = self.writes(Changes::Key(key), Kind::Updates);
            let sum = self.far.incr_value(key, by, ttl).await;
            write.ended(sum, |_| End::Done)
        })
    }

    /// When the far value is not the one that is expected, a copy that may have been the reason is not used again.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        BackendFuture::boxed(async move {
            let write = self.writes(Changes::Key(key), Kind::Updates);
            let stored = self.far.compare_and_set(key, expected, new, ttl).await;
            write.ended(stored, End::of_update)
        })
    }

    fn compare_and_set_many<'a>(
        &'a self,
        entries: Vec<(&'a str, Option<&'a Value>, Value)>,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, Vec<bool>> {
        BackendFuture::boxed(async move {
            let keys = entries.iter().map(|(key, ..)| *key).collect();
            let write = self.writes(Changes::Owned(keys), Kind::Updates);
            let stored = self.far.compare_and_set_many(entries, ttl).await;
            write.ended(stored, |stored| End::Each(stored.clone()))
        })
    }

    /// One trip for all that are not near. Copies are kept of a few, if one of them is wanted, and not of many, who would drive out what
    /// is in use.
    fn get_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, Vec<Option<Value>>> {
        let mut values = Vec::with_capacity(keys.len());
        let mut missing = Vec::new();
        let mut are_wanted = false;
        for (at, key) in keys.iter().enumerate() {
            let known = self.copy(key).unwrap_or_else(|look| {
                are_wanted |= self.near.wants(&self.tracking, key, look);
                missing.push(at);
                None
            });
            values.push(known);
        }
        if missing.is_empty() && !keys.is_empty() {
            return BackendFuture::ready(Ok(values));
        }
        BackendFuture::boxed(async move {
            self.count_far_reads(missing.len());
            let asked: Vec<&str> = missing.iter().map(|&at| keys[at]).collect();
            let found = if !are_wanted || asked.len() > FEW {
                self.repaired(&asked).await?;
                let found = self.far.get_values(&asked).await?;
                asked.iter().for_each(|key| self.near.forget(key));
                found
            } else {
                match self.fetch_few(&asked).await {
                    // Whether a foreign type is an error or a miss among many is for the far tier to say.
                    Err(error) if error.is_wrong_type() => self.far.get_values(&asked).await?,
                    found => found?,
                }
            };
            for (at, value) in missing.into_iter().zip(found) {
                values[at] = value;
            }
            Ok(values)
        })
    }

    fn set_values<'a>(&'a self, entries: Vec<(&'a str, Value)>, ttl: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::boxed(async move {
            let keys = entries.iter().map(|(key, _)| *key).collect();
            let write = self.writes(Changes::Owned(keys), Kind::Replaces);
            let set = self.far.set_values(entries, ttl).await;
            write.ended(set, |()| End::Done)
        })
    }

    fn delete_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, u64> {
        BackendFuture::boxed(async move {
            let write = self.writes(Changes::Keys(keys), Kind::Replaces);
            let deleted = self.far.delete_values(keys).await;
            write.ended(deleted, |_| End::Done)
        })
    }

    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.far.value_ttl(key)
    }

    fn default_ttl(&self) -> Ttl {
        self.far.default_ttl()
    }

    fn codec(&self) -> Option<&Codec> {
        self.far.codec()
    }

    fn is_strict(&self) -> bool {
        self.far.is_strict()
    }

    fn tag_changes(&self) -> Option<&TagChanges> {
        self.tracking.tag_changes()
    }

    /// Those of the far tier. Reads of one key count what was answered from memory as well, of calls of many keys, too; how long that took
    /// is not taken.
    fn stats(&self) -> BackendStats {
        let mut stats = self.far.stats();
        let near = self.tier_stats();
        let get = &mut stats[Operation::Get];
        get.calls = get.calls.saturating_add(near.near_hits);
        get.hits = get.hits.saturating_add(near.near_hits);
        stats.entries = Some(near.near_keys as u64);
        stats
    }

    fn load_options(&self) -> &LoadOptions {
        self.far.load_options()
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    /// Asks every server whether it is there, and whether it tells this user of writes.
    fn verify(&self) -> BackendFuture<'_, ()> {
        self.far.verify()
    }

    fn close(&self) -> BackendFuture<'_, ()> {
        BackendFuture::boxed(async move {
            // Nothing is near while the calls under way end, nor after them.
            self.tracking.invalidate_all();
            let closed = self.far.close().await;
            self.repairs.close();
            self.tracking.invalidate_all();
            self.near.clear();
            closed
        })
    }

    fn flights(&self) -> &Flights {
        self.far.flights()
    }
}

/// Those of the far tier; who waits for one is told of changes where servers tell of writes.
impl Leases for TieredCacheBackend {
    fn take<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Value>,
        term: Duration,
    ) -> BackendFuture<'a, Leased<'a>> {
        BackendFuture::boxed(async move {
            // Before the server is asked: what changes after it has answered comes after this.
            let is_announced = self.coherence != Coherence::NearTtl;
            let change = is_announced.then(|| self.tracking.change(key));
            let mut leased = self.far.take(key, expected, term).await?;
            if let Leased::Taken(Taken { change: told, .. }) = &mut leased {
                *told = change.map(|change| {
                    BackendFuture::boxed(async move {
                        change.await;
                        Ok(())
                    })
                });
            }
            Ok(leased)
        })
    }

    fn renew<'a>(&'a self, key: &'a str, lease: &'a Lease) -> BackendFuture<'a, bool> {
        self.far.renew(key, lease)
    }

    fn store_leased<'a>(
        &'a self,
        key: &'a str,
        lease: Lease,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Ttl,
    ) -> BackendFuture<'a, bool> {
        BackendFuture::boxed(async move {
            let write = self.writes(Changes::Key(key), Kind::Updates);
            let stored = self.far.store_leased(key, lease, expected, new, ttl);
            write.ended(stored.await, End::of_update)
        })
    }
}
