//! The copies in memory.

use super::doorkeeper::Doorkeeper;
use crate::backend::Value;
use crate::backend::coherence::validity::{Coverage, Pass, Ticket};
use crate::backend::redis::{CopyTerms, Tracking};
use crate::backend::tag;
use crate::cache::Cache;
use crate::error::Error;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Ttl;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Near {
    copies: Cache<Box<str>, Copied>,
    doorkeeper: Doorkeeper,
    /// No copy is older.
    longest: Duration,
    /// In the place of a connection's, where nothing is announced.
    unannounced: Option<Arc<Coverage>>,
    refused: AtomicU64,
}

struct Copied {
    /// `None`: there is nothing under the key.
    value: Option<Value>,
    pass: Pass,
    /// When its time is over, on the clock of the proofs. The cache has no deadlines for copies: they would count from when a copy was
    /// placed there, which may be late, and each hit would look at a second clock.
    until: u64,
    /// When the time of its original is over, on the same clock. Never earlier.
    lives_until: u64,
    /// It is shown only if it could be so much later: for so long is relied upon what was seen.
    serves_after: u64,
}

/// What a look came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It is known what is there.
    Known,
    /// There is a copy, which may not be used any more.
    OutOfDate,
    Absent,
}

impl Copied {
    fn size(&self) -> u64 {
        self.value.as_ref().map_or(0, Value::size)
    }
}

impl Near {
    pub(super) fn new(
        (max_keys, max_bytes): (usize, u64),
        longest: Duration,
        is_announced: bool,
    ) -> Result<Self, Error> {
        Ok(Self {
            copies: Cache::<Box<str>, Copied>::builder()
                .max_keys(max_keys)
                .max_weight(max_bytes)
                .weigher(|key, copy| key.len() as u64 + copy.size())
                .build()?,
            doorkeeper: Doorkeeper::new(max_keys),
            longest,
            unannounced: (!is_announced).then(|| Arc::new(Coverage::endless())),
            refused: AtomicU64::new(0),
        })
    }

    /// Says whether it is known what is under a key; if there is something, it is shown.
    #[inline]
    pub(super) fn show(&self, tracking: &Tracking, key: &str, read: impl FnOnce(&Value)) -> Look {
        let now = tracking.now();
        let shown = self.copies.get_briefly(key, |copy| {
            let now = now.saturating_add(copy.serves_after);
            let valid = now < copy.until && copy.pass.is_valid(tracking.generations(), now);
            if valid && let Some(value) = &copy.value {
                read(value);
            }
            valid
        });
        match shown {
            Some(true) => Look::Known,
            Some(false) => self.refused(),
            None => Look::Absent,
        }
    }

    /// What is under a key as far as is known here: whether or not somebody would have told of a change, and though the copy's own time
    /// is over. Not what is known to be out of date, nor beyond the time of its original.
    #[cold]
    pub(super) fn last_known(&self, tracking: &Tracking, key: &str) -> Option<Value> {
        let now = tracking.now();
        let known = self.copies.get_briefly(key, |copy| {
            let is_known =
                now < copy.lives_until && tracking.generations().is_current(&copy.pass.ticket);
            copy.value.clone().filter(|_| is_known)
        });
        if known.is_some() {
            // It is no hit.
            self.refused();
        }
        known.flatten()
    }

    #[cold]
    fn refused(&self) -> Look {
        // Relaxed: a counter.
        self.refused.fetch_add(1, Ordering::Relaxed);
        Look::OutOfDate
    }

    /// Whether a copy of what is asked for after a look is to be kept: one takes the place of another, there is room, or the key was
    /// asked for before. Those of the versions of tags always are: each serves many entries.
    pub(super) fn wants(&self, tracking: &Tracking, key: &str, look: Look) -> bool {
        look == Look::OutOfDate
            || self.has_room()
            || tag::is_reserved(key)
            || self.doorkeeper.knows(tracking.hash(key.as_bytes()))
    }

    /// The same without a look, of a key that is asked for whatever there is: it makes no place for itself.
    pub(super) fn has_place(&self, key: &str) -> bool {
        self.has_room() || self.copies.contains_key(key)
    }

    /// Whether one more copy, as large as they are in the mean, takes the place of none.
    fn has_room(&self) -> bool {
        let (keys, bytes) = (self.copies.len(), self.copies.weight());
        let mean = bytes / keys.max(1) as u64;
        keys < self.copies.max_keys() && bytes.saturating_add(mean) <= self.copies.max_weight()
    }

    /// Keeps a copy of what was asked for at `asked`, after the ticket was taken. That there is nothing is kept only where it is
    /// announced when there is something. Where nothing is kept, nothing stays of what was known before, either.
    pub(super) fn keep(
        &self,
        tracking: &Tracking,
        key: &str,
        ticket: Ticket,
        asked: u64,
        value: Option<Value>,
        terms: CopyTerms,
    ) {
        let unannounced = self.unannounced.as_ref().filter(|_| value.is_some());
        let Some(coverage) = unannounced.or(terms.coverage.as_ref()) else {
            return self.forget(key);
        };
        let lives_until = until(terms.ttl, asked, Duration::MAX);
        // Only to spare the labour: it is the look that decides.
        if tracking.now() >= lives_until || !tracking.generations().is_current(&ticket) {
            return self.forget(key);
        }
        let copy = Copied {
            value,
            pass: Pass {
                ticket,
                coverage: Arc::clone(coverage),
            },
            until: until(terms.ttl, asked, self.longest),
            lives_until,
            serves_after: tracking.serves_after(key),
        };
        self.copies.insert(key.into(), copy);
    }

    /// The far tier has been asked, and there is no copy of what it said: an earlier one is not what is last known any more.
    pub(super) fn forget(&self, key: &str) {
        self.copies.remove(key);
    }

    /// Gives the memory back.
    pub(super) fn clear(&self) {
        self.copies.clear();
    }

    /// Looks that found a copy, and how many of them were refused.
    pub(super) fn looks(&self) -> (u64, u64) {
        // Relaxed: a counter. Before the looks, which are never fewer.
        let refused = self.refused.load(Ordering::Relaxed);
        (self.copies.stats().hits, refused)
    }

    /// Copies, and about how many bytes they take.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.copies.len(), self.copies.weight())
    }
}

/// When a copy's time is over: no later than its original's, of which `ttl` was left at some time after `asked`, and no later than
/// the longest. In milliseconds.
fn until(ttl: Ttl, asked: u64, longest: Duration) -> u64 {
    let left = match ttl {
        Ttl::Never => longest,
        // Redis may have rounded up.
        Ttl::After(left) => left.saturating_sub(Duration::from_millis(1)).min(longest),
    };
    asked.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near")
            .field("len", &self.copies.len())
            .field("max_keys", &self.copies.max_keys())
            .field("max_bytes", &self.copies.max_weight())
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_does_not_outlive_its_original() {
        let millis = Duration::from_millis;
        let minute = Duration::from_secs(60);
        for (ttl, longest, expected) in [
            (Ttl::Never, minute, 60_007),
            (Ttl::After(minute), millis(10), 17),
            (Ttl::After(millis(100)), minute, 106),
            (Ttl::After(millis(1)), minute, 7),
            (Ttl::After(Duration::ZERO), minute, 7),
            // Never rounded up.
            (Ttl::After(Duration::from_micros(5_900)), minute, 11),
            (Ttl::After(Duration::MAX), Duration::MAX, u64::MAX),
        ] {
            assert_eq!(until(ttl, 7, longest), expected, "{ttl:?} {longest:?}");
        }
    }
}
