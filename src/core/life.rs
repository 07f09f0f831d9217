//! How long an entry lives: the words with its deadlines, which may move while it is in the cache.
//!
//! # Once expired, always expired
//!
//! A deadline moves by exchanges alone, of which each expects the one that it has seen. Whoever finds that it has passed, and is going to
//! act on that (a reader that says that there is no entry, a writer that takes it out), exchanges it for [`EXPIRED`] first, from where it
//! never moves. So of an expiry and a move at the same time one comes first, and everybody goes by that.
//!
//! All accesses are relaxed: everything about a deadline is in its one word, of whose changes all threads see the same order. The entry
//! itself is published with its id, and the deadlines with it.
//!
//! # Two words
//!
//! Where entries live as long as they are told, their one deadline is in the slot's meta. Where they also go when nobody has read them
//! for some time, that moves with the reads, and is what readers look at first; so it is in the meta, and the *limit*, which no read
//! moves, in a side word. Each deadline has a word of its own: in one word for both, a read that moves the idle deadline could write
//! back a limit that has been changed meanwhile.

use super::meta::{Meta, NEVER};
use crate::sync::{AtomicU64, Ordering};

/// In the place of a deadline that has passed, and was seen to. Before all times that clocks read.
pub(crate) const EXPIRED: u64 = 0;

/// A word with a deadline that may move.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MetaWord<'s>(&'s AtomicU64);

/// The deadlines that an entry is stored with, in milliseconds of the cache's clock; at or beyond [`NEVER`] they mean never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadlines<L> {
    /// The one that readers look at first: the idle deadline where there is one, otherwise the limit.
    pub(crate) first: u64,
    /// When the entry goes, however often it is read.
    pub(crate) limit: L,
}

/// A limit that an entry is stored with. A type, so that a write is compiled without a thought of limits where there are none.
pub(crate) trait Limit: Copy {
    /// Whether it has to be set by itself, and to what.
    fn get(self) -> Option<u64>;
}

/// The first deadline is the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First;

impl Limit for First {
    #[inline(always)]
    fn get(self) -> Option<u64> {
        None
    }
}

impl Limit for u64 {
    #[inline(always)]
    fn get(self) -> Option<u64> {
        Some(self)
    }
}

/// In the place of a limit: that of the entry in whose place this one comes, as it is then.
pub(crate) const INHERITED: u64 = u64::MAX;

impl From<u64> for Deadlines<First> {
    #[inline(always)]
    fn from(deadline: u64) -> Self {
        Self {
            first: deadline,
            limit: First,
        }
    }
}

/// The deadlines of a slot's entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life<'s> {
    first: MetaWord<'s>,
    /// Where that is not the first.
    limit: Option<MetaWord<'s>>,
}

impl<'s> MetaWord<'s> {
    #[inline(always)]
    pub(crate) fn new(word: &'s AtomicU64) -> Self {
        Self(word)
    }

    #[inline(always)]
    pub(crate) fn get(self) -> Meta {
        // Relaxed: see above.
        Meta::of_word(self.0.load(Ordering::Relaxed))
    }

    /// Starts anew with the slot's next entry. For the lock's holder, of a vacant slot.
    #[inline(always)]
    pub(crate) fn set(self, meta: Meta) {
        // Relaxed: nobody looks at it before the entry's id is filed, with Release.
        self.0.store(meta.word(), Ordering::Relaxed);
    }

    /// Exchanges what was seen for something else of the same entry; otherwise says what has become of it.
    pub(crate) fn exchange(self, seen: Meta, new: Meta) -> Result<(), Meta> {
        let (seen, new) = (seen.word(), new.word());
        // Relaxed, both: see above.
        let exchanged = self
            .0
            .compare_exchange(seen, new, Ordering::Relaxed, Ordering::Relaxed);
        exchanged.map(|_| ()).map_err(Meta::of_word)
    }

    /// Has the entry expire, whose deadline was seen to have passed. Otherwise says what has become of it since.
    #[cold]
    pub(crate) fn expire(self, seen: Meta) -> Result<(), Meta> {
        if seen.deadline() == EXPIRED {
            return Ok(());
        }
        self.exchange(seen, seen.with_deadline(EXPIRED))
    }

    /// Whether the entry that was just seen has expired at the time `now`; if so, it has for good.
    #[inline(always)]
    pub(crate) fn has_expired_as(self, seen: Meta, now: u64) -> bool {
        seen.deadline() <= now && self.deadline_after_slow(seen, now).is_none()
    }

    /// The deadline, if the entry has not expired at the time `now`; if it has, it has for good.
    #[inline(always)]
    pub(crate) fn deadline_after(self, now: u64) -> Option<u64> {
        let meta = self.get();
        if meta.deadline() > now {
            return Some(meta.deadline());
        }
        self.deadline_after_slow(meta, now)
    }

    #[cold]
    fn deadline_after_slow(self, mut meta: Meta, now: u64) -> Option<u64> {
        while meta.deadline() <= now {
            match self.expire(meta) {
                Ok(()) => return None,
                Err(since) => meta = since,
            }
        }
        Some(meta.deadline())
    }

    /// Moves the deadline to another one that `choose` makes of it, if that says so, and the entry has not expired at the time
    /// `now`: returns the last one before that. If it has, it has for good.
    pub(crate) fn shift(self, now: u64, choose: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut meta = self.get();
        loop {
            if meta.deadline() <= now {
                meta = match self.expire(meta) {
                    Ok(()) => return None,
                    Err(since) => since,
                };
                continue;
            }
            let Some(new) = choose(meta.deadline()) else {
                return Some(meta.deadline());
            };
            match self.exchange(meta, meta.with_deadline(new)) {
                Ok(()) => return Some(meta.deadline()),
                Err(since) => meta = since,
            }
        }
    }
}

impl<'s> Life<'s> {
    #[inline(always)]
    pub(crate) fn new(first: MetaWord<'s>, limit: Option<MetaWord<'s>>) -> Self {
        Self { first, limit }
    }

    /// The idle deadline, where there is one.
    pub(crate) fn idle(self) -> Option<MetaWord<'s>> {
        self.limit.map(|_| self.first)
    }

    pub(crate) fn limit(self) -> MetaWord<'s> {
        self.limit.unwrap_or(self.first)
    }

    /// The limit, where that is not what readers look at first.
    #[inline(always)]
    pub(crate) fn second(self) -> Option<MetaWord<'s>> {
        self.limit
    }

    /// The earlier of the deadlines; [`NEVER`] if there is none.
    #[inline(always)]
    pub(crate) fn deadline(self) -> u64 {
        let limit = self.limit.map_or(NEVER, |limit| limit.get().deadline());
        self.first.get().deadline().min(limit)
    }

    /// The same, if the entry has not expired at the time `now`; if it has, it has for good.
    #[inline(always)]
    pub(crate) fn deadline_after(self, now: u64) -> Option<u64> {
        let first = self.first.deadline_after(now)?;
        match self.limit {
            None => Some(first),
            Some(limit) => limit.deadline_after(now).map(|limit| limit.min(first)),
        }
    }

    /// Whether the entry has expired at the time `now`; if so, it has for good.
    #[inline(always)]
    pub(crate) fn has_expired(self, now: u64) -> bool {
        self.deadline_after(now).is_none()
    }
}
