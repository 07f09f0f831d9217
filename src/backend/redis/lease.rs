//! Leases on Redis: a key beside the value's, in the same slot, with the holder's token and a time to live.
//!
//! A lease ends with its time to live, and by whatever removes its value: [`delete`](crate::CacheBackend::delete_value) and the like remove
//! the lease first and the value behind it, so that a load whose lease is still there when it stores has begun when the removal was
//! under way, and a flush goes through all leases before it goes through all else. What *sets* the value leaves the lease alone: a
//! leader stores only where there still is what it found.
//!
//! The lease's key begins with the prefix, so that who may use the cache may use leases, and ends with bytes that no text has. On a cluster
//! both keys are looked at by one script, so they are in one slot, with or without a tag in the key: [`HashSlot::neighbour`] says how.
//!
//! [`HashSlot::neighbour`]: super::hash_slot::HashSlot::neighbour

use super::RedisCacheBackend;
use super::command::{self, Scripted, TakenLease};
use super::token::token;
use crate::backend::kept::millis_rounded_up;
use crate::backend::lease::{Lease, Leased, Leases, Taken};
use crate::backend::stats::{Found, Operation};
use crate::backend::{BackendFuture, Value};
use crate::error::Error;
use crate::time::Ttl;
use std::time::Duration;

impl Found for Leased<'_> {}

impl RedisCacheBackend {
    /// One that is given back when it is dropped.
    fn lease(&self, key: &str, term: Duration) -> Lease {
        let (key, token) = (self.key(key), token());
        let end = Scripted::end_lease(key, &token);
        let errand = self.servers.errand(key.to_vec(), end);
        Lease::new(token, term, move || errand.run())
    }
}

impl Leases for RedisCacheBackend {
    fn take<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Value>,
        term: Duration,
    ) -> BackendFuture<'a, Leased<'a>> {
        self.call(Operation::CompareAndSet, Some(key), move || async move {
            let expected = expected.as_ref().map(Value::encode).transpose()?;
            // Before it is asked for: if there is no answer, it may have been granted.
            let lease = self.lease(key, term);
            let on_server = self.key(key);
            let millis = millis_rounded_up(term);
            let take = Scripted::take_lease(on_server, lease.token(), millis, expected.as_deref());
            let answer = self.servers.run(on_server, &take).await?;
            Ok(match command::taken_lease(answer)? {
                TakenLease::Granted => Leased::Granted(lease),
                TakenLease::Other(value) => {
                    lease.end();
                    Leased::Other(self.found(key, value))
                }
                TakenLease::Taken(left) => {
                    lease.end();
                    Leased::Taken(Taken { left, change: None })
                }
            })
        })
    }

    fn renew<'a>(&'a self, key: &'a str, lease: &'a Lease) -> BackendFuture<'a, bool> {
        self.call(Operation::CompareAndSet, Some(key), move || async move {
            let key = self.key(key);
            let millis = millis_rounded_up(lease.term());
            let renew = Scripted::renew_lease(key, lease.token(), millis);
            Ok(command::integer(&self.servers.run(key, &renew).await?)? == 1)
        })
    }

    fn store_leased<'a>(
        &'a self,
        key: &'a str,
        lease: Lease,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Ttl,
    ) -> BackendFuture<'a, bool> {
        self.call(Operation::CompareAndSet, Some(key), move || async move {
            let new = self.codec.to_stored(key, &new)?;
            let key = self.key(key);
            let expected = expected.map(Value::encode).transpose()?;
            let (expected, new) = (expected.as_deref(), new.encode()?);
            let store = Scripted::store_leased(key, lease.token(), expected, &new, ttl);
            let stored = command::integer(&self.servers.run_write(key, &store).await?)? == 1;
            lease.end();
            Ok::<_, Error>(stored)
        })
    }
}
