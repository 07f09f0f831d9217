//! The contract, call by call. All that writes works on the far tier; see the essay.

use super::TieredCacheBackend;
use super::near::Look;
use crate::backend::coherence::Coherence;
use crate::backend::coherence::validity::Ticket;
use crate::backend::lease::{Lease, Leased, Leases, Taken};
use crate::backend::redis::{Fetched, Tracking};
use crate::backend::stats::Operation;
use crate::backend::{
    BackendFuture, BackendStats, CacheBackend, Codec, Flights, LoadOptions, TagChanges, Value,
};
use crate::error::Error;
use crate::time::Ttl;
use std::time::Duration;

/// So many keys that are read together are each asked for as if they were read alone.
const FEW: usize = 16;

/// A write of this process: when it ends, in whatever way, copies of what it may have changed are out of date.
struct Write<'t, 'k> {
    tracking: &'t Tracking,
    changes: Changes<'k>,
}

enum Changes<'k> {
    Key(&'k str),
    Keys(&'k [&'k str]),
    Owned(Vec<&'k str>),
    All,
}

impl Drop for Write<'_, '_> {
    fn drop(&mut self) {
        match &self.changes {
            Changes::Key(key) => self.tracking.invalidate(key),
            Changes::Keys(keys) => keys.iter().for_each(|key| self.tracking.invalidate(key)),
            Changes::Owned(keys) => keys.iter().for_each(|key| self.tracking.invalidate(key)),
            Changes::All => self.tracking.invalidate_all(),
        }
    }
}

impl TieredCacheBackend {
    fn writes<'a>(&'a self, changes: Changes<'a>) -> Write<'a, 'a> {
        Write {
            tracking: &self.tracking,
            changes,
        }
    }

    /// Asks the far tier, and keeps a copy.
    async fn fetch(&self, key: &str) -> Result<Option<Value>, Error> {
        let (ticket, asked) = (self.tracking.ticket(key), self.tracking.now());
        self.count_far_reads(1);
        let fetched = self.far.fetch(key).await?;
        Ok(self.kept(key, ticket, asked, fetched))
    }

    /// As [`fetch`](Self::fetch), of a few keys, in their order.
    async fn fetch_few(&self, keys: &[&str]) -> Result<Vec<Option<Value>>, Error> {
        let asked = self.tracking.now();
        let tickets: Vec<Ticket> = keys.iter().map(|key| self.tracking.ticket(key)).collect();
        let fetched = self.far.fetch_few(keys).await?;
        let kept = fetched.into_iter().zip(keys).zip(tickets);
        let kept = kept.map(|((fetched, key), ticket)| self.kept(key, ticket, asked, fetched));
        Ok(kept.collect())
    }

    /// What was fetched, of which a copy is kept if that may be.
    fn kept(&self, key: &str, ticket: Ticket, asked: u64, fetched: Fetched) -> Option<Value> {
        let Some(terms) = fetched.terms else {
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
        if is_kept {
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

    #[inline]
    fn read_now(&self, key: &str, read: &mut (dyn FnMut(&Value) + Send)) -> bool {
        self.near.show(&self.tracking, key, read) == Look::Known
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::boxed(async move {
            let _write = self.writes(Changes::Key(key));
            self.far.set_value(key, value, ttl).await
        })
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        BackendFuture::boxed(async move {
            let _write = self.writes(Changes::Key(key));
            self.far.delete_value(key).await
        })
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        BackendFuture::boxed(async move {
            let flushed = {
                let _write = self.writes(Changes::All);
                self.far.flush_values().await
            };
            self.near.clear();
            flushed
        })
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        BackendFuture::boxed(async move {
            let _write = self.writes(Changes::Key(key));
            self.far.incr_value(key, by, ttl).await
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
            let _write = self.writes(Changes::Key(key));
            self.far.compare_and_set(key, expected, new, ttl).await
        })
    }

    fn compare_and_set_many<'a>(
        &'a self,
        entries: Vec<(&'a str, Option<&'a Value>, Value)>,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, Vec<bool>> {
        BackendFuture::boxed(async move {
            let keys = entries.iter().map(|(key, ..)| *key).collect();
            let _write = self.writes(Changes::Owned(keys));
            self.far.compare_and_set_many(entries, ttl).await
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
                self.far.get_values(&asked).await?
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
            let _write = self.writes(Changes::Owned(keys));
            self.far.set_values(entries, ttl).await
        })
    }

    fn delete_values<'a>(&'a self, keys: &'a [&'a str]) -> BackendFuture<'a, u64> {
        BackendFuture::boxed(async move {
            let _write = self.writes(Changes::Keys(keys));
            self.far.delete_values(keys).await
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
            let closed = {
                // Nothing is near while the calls under way end, nor after them.
                self.tracking.invalidate_all();
                let _write = self.writes(Changes::All);
                self.far.close().await
            };
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
            let _write = self.writes(Changes::Key(key));
            self.far.store_leased(key, lease, expected, new, ttl).await
        })
    }
}
