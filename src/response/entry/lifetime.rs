//! Whether a stored response may be served at some time.

use super::made_for::Origin;
use super::stored_response::StoredResponse;
use crate::response::clock::UnixMillis;
use std::time::Duration;

impl StoredResponse {
    /// The current age: RFC 9111 §4.2.3.
    #[inline]
    pub(crate) fn age(&self, now: UnixMillis) -> Duration {
        match self.origin {
            // It is not known. The store's time to live is what holds.
            Origin::Foreign => Duration::ZERO,
            Origin::Ours(_) => now.since(self.lifetime.born),
        }
    }

    #[inline]
    pub(crate) fn is_fresh(&self, now: UnixMillis) -> bool {
        self.age(now) < self.lifetime.fresh
    }

    /// Whether it may be served while another one is fetched.
    pub(crate) fn serves_while_revalidating(&self, now: UnixMillis) -> bool {
        let Self { lifetime, .. } = self;
        self.age(now) < lifetime.fresh.saturating_add(lifetime.while_revalidate)
    }

    /// Whether it may be served in the place of an error.
    pub(crate) fn serves_if_error(&self, now: UnixMillis) -> bool {
        let Self { lifetime, .. } = self;
        self.age(now) < lifetime.fresh.saturating_add(lifetime.if_error)
    }

    /// For how many seconds more it is fresh, negative if it is stale. `None` if that is not known, or too much to be of use.
    #[inline]
    pub(crate) fn ttl_seconds(&self, now: UnixMillis) -> Option<i64> {
        let fresh = i64::try_from(self.lifetime.fresh.as_secs()).ok()?;
        let age = i64::try_from(self.age(now).as_secs()).ok()?;
        let is_useful = fresh < i64::from(u32::MAX) * 2;
        fresh.checked_sub(age).filter(|_| is_useful)
    }
}
