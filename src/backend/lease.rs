//! [`Leases`]: what a store that processes share does for it that one of them loads a key.
//!
//! A lease says who loads a key, with a token that nobody else has ever had. It ends by itself after its term, unless it is renewed; when its
//! key is deleted, alone or with all others; and when its holder stores by it. To store by a lease that has ended is refused, in the
//! same step in which it is looked at: that fences off a loader that was deemed dead and comes back, and one whose key was
//! deleted meanwhile.

use super::{BackendFuture, Value};
use crate::time::Ttl;
use std::fmt;
use std::time::Duration;

/// What a store that processes share can do for [loads of a whole fleet](super::LoadOptions::fleet_single_flight): from
/// [`CacheBackend::leases`](super::CacheBackend::leases).
pub trait Leases: Send + Sync {
    /// In one step: if the key does not have the value `expected` (`None`: has none), what it has; if it does, a lease of the key, or for
    /// how long another's still lasts. A lease lasts for its `term`.
    fn take<'a>(
        &'a self,
        key: &'a str,
        expected: Option<Value>,
        term: Duration,
    ) -> BackendFuture<'a, Leased<'a>>;

    /// Lets a lease last for its term from now. False if it has ended.
    fn renew<'a>(&'a self, key: &'a str, lease: &'a Lease) -> BackendFuture<'a, bool>;

    /// In one step: stores `new` if the lease lasts and the key still has the value `expected`, ends the lease, and says whether it
    /// stored. A zero time to live removes the key.
    fn store_leased<'a>(
        &'a self,
        key: &'a str,
        lease: Lease,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Ttl,
    ) -> BackendFuture<'a, bool>;
}

/// What [`Leases::take`] comes to.
#[derive(Debug)]
pub enum Leased<'a> {
    /// The key has another value than was expected, or none.
    Other(Option<Value>),
    /// The caller has the lease.
    Granted(Lease),
    /// Somebody else has it.
    Taken(Taken<'a>),
}

/// A lease that somebody else has.
#[derive(Debug)]
pub struct Taken<'a> {
    /// How long it lasts, unless it is renewed.
    pub left: Duration,
    /// Ends when the key or its lease has changed since it was asked for; it may also end too early. `None` if nobody tells.
    pub change: Option<BackendFuture<'a, ()>>,
}

/// A lease of a key. Dropped, it is given back, if that can be done without waiting; if not, it ends when its term is over.
#[must_use = "a lease that is dropped is given back"]
pub struct Lease {
    token: Box<str>,
    term: Duration,
    give_back: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Lease {
    /// A lease with this token. `give_back` is called when it is dropped before it has [ended](Self::end), wherever that is: it must not
    /// wait.
    pub fn new(
        token: impl Into<Box<str>>,
        term: Duration,
        give_back: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        Self {
            token: token.into(),
            term,
            give_back: Some(Box::new(give_back)),
        }
    }

    /// What tells it from all others.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// For how long it lasts, from when it was taken or last renewed.
    pub fn term(&self) -> Duration {
        self.term
    }

    /// It is known not to last any more, so it need not be given back.
    pub fn end(mut self) {
        self.give_back = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(give_back) = self.give_back.take() {
            give_back();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("token", &self.token)
            .field("term", &self.term)
            .finish_non_exhaustive()
    }
}
