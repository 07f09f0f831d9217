//! The one number of keys that all shards share.
//!
//! A key in the cache holds a token. Tokens are taken while there are any, handed on from an evicted entry to the one that
//! takes its place, and come back when an entry leaves for good. So the cache never holds more than `max_keys` keys, and
//! no key is evicted while a token is free anywhere.

use crate::sync::{AtomicUsize, CachePadded, Ordering};

/// The tokens of one store.
#[derive(Debug)]
pub(crate) struct Budget {
    max: usize,
    free: CachePadded<AtomicUsize>,
}

/// The right to hold one key. Dropped, it returns to the budget.
#[derive(Debug)]
#[must_use]
pub(crate) struct Token<'b>(&'b Budget);

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            free: CachePadded(AtomicUsize::new(max)),
        }
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// How many tokens are out: at least the number of keys, at most [`Budget::max`].
    pub(crate) fn used(&self) -> usize {
        // Relaxed: a number that stands alone.
        self.max - self.free.load(Ordering::Relaxed)
    }

    /// A token, if any is free. When none is, nothing is written.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<Token<'_>> {
        // Relaxed throughout: the exchange on this one word is what makes a token unique; the entries that tokens stand for
        // are handed over by the shards' locks.
        let mut free = self.free.load(Ordering::Relaxed);
        while free > 0 {
            match self.free.compare_exchange_weak(
                free,
                free - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(Token(self)),
                Err(current) => free = current,
            }
        }
        None
    }

    /// The token of an entry that has just left the cache.
    #[inline(always)]
    pub(crate) fn reclaim(&self) -> Token<'_> {
        Token(self)
    }
}

impl Token<'_> {
    /// Leaves the token with an entry that is being published.
    #[inline(always)]
    pub(crate) fn spend(self) {
        std::mem::forget(self);
    }
}

impl Drop for Token<'_> {
    fn drop(&mut self) {
        // Relaxed: see `Budget::take`.
        let before = self.0.free.fetch_add(1, Ordering::Relaxed);
        debug_assert!(before < self.0.max, "a token came back twice");
    }
}
