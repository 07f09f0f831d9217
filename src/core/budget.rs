//! What all shards share: the number of keys, and what the entries weigh.
//!
//! A key in the cache holds a token. Tokens are taken while there are any, handed on from an evicted entry to the one that
//! takes its place, and come back when an entry leaves for good. So the cache never holds more than `max_keys` keys, and
//! no key is evicted while a token is free anywhere. A unit of weight is a token too, of a pool of its own; an entry holds as many as it
//! weighs.
//!
//! # Changing the number
//!
//! All that takers look at is the number of free tokens. So a pool shrinks by tokens that are taken like any others, and then retired:
//! the maximum follows, step by step. It grows the other way round. At every moment the tokens that are out are no more than the
//! maximum of that moment.
//!
//! Whoever changes the number says what it is to be, the *target*, and makes steps toward it until it is reached, or was by others:
//! each under a lock that is held for one step.

use crate::sync::{AtomicU64, CachePadded, Mutex, MutexGuard, Ordering};

/// The tokens of one store.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) keys: Pool,
    /// If entries are weighed.
    weight: Option<Box<Pool>>,
    /// Of those that collect weight from several shards, one at a time does: two that each keep what they have could both lack
    /// the rest.
    turn: Mutex<()>,
}

impl Budget {
    pub(crate) fn new(max_keys: usize, max_weight: Option<u64>) -> Self {
        Self {
            keys: Pool::new(max_keys as u64),
            weight: max_weight.map(|max| Box::new(Pool::new(max))),
            turn: Mutex::new(()),
        }
    }

    #[inline(always)]
    pub(crate) fn weight(&self) -> Option<&Pool> {
        self.weight.as_deref()
    }

    /// Waits until nobody else collects weight, if entries are weighed. For a thread that holds no lock and no weight.
    pub(crate) fn collect(&self) -> Option<Collector<'_>> {
        let pool = self.weight()?;
        Some(Collector {
            pool,
            purse: 0,
            _turn: self.turn.lock(),
        })
    }
}

/// Tokens of one kind.
#[derive(Debug)]
pub(crate) struct Pool {
    free: CachePadded<AtomicU64>,
    /// How many there are. Written under the lock of `target`.
    max: AtomicU64,
    /// How often the maximum has changed.
    changes: AtomicU64,
    /// Those of pinned entries, which no eviction brings back.
    pinned: AtomicU64,
    target: Mutex<u64>,
}

impl Pool {
    pub(crate) fn new(max: u64) -> Self {
        Self {
            free: CachePadded(AtomicU64::new(max)),
            max: AtomicU64::new(max),
            changes: AtomicU64::new(0),
            pinned: AtomicU64::new(0),
            target: Mutex::new(max),
        }
    }

    pub(crate) fn max(&self) -> u64 {
        // Relaxed: a number that stands alone.
        self.max.load(Ordering::Relaxed)
    }

    /// How many tokens are out: at least as many as the entries hold, at most [`Pool::max`].
    pub(crate) fn used(&self) -> u64 {
        // Acquire: pairs with the Release in `set_max`, so that the maximum is at least as new as the count of changes.
        let mut changes = self.changes.load(Ordering::Acquire);
        loop {
            // Acquire: pairs with the Release in `set_max`: what was retired before is no longer free.
            let max = self.max.load(Ordering::Acquire);
            // Acquire: pairs with the Release in `grow`: who sees the new tokens sees below that the maximum has changed.
            let free = self.free.load(Ordering::Acquire);
            // Acquire: as above.
            let now = self.changes.load(Ordering::Acquire);
            if now == changes {
                return max - free;
            }
            changes = now;
        }
    }

    /// How many tokens are free.
    pub(crate) fn free(&self) -> u64 {
        // Relaxed: a hint.
        self.free.load(Ordering::Relaxed)
    }

    /// Takes so many tokens, all or none. When they are not there, nothing is written.
    #[inline(always)]
    pub(crate) fn take(&self, count: u64) -> bool {
        // Relaxed throughout: the exchange on this one word is what makes a token unique; the entries that tokens stand for
        // are handed over by the shards' locks.
        let mut free = self.free.load(Ordering::Relaxed);
        while free >= count {
            match self.free.compare_exchange_weak(
                free,
                free - count,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(current) => free = current,
            }
        }
        false
    }

    /// Takes up to so many; returns how many.
    pub(crate) fn take_some(&self, most: u64) -> u64 {
        loop {
            let count = self.free().min(most);
            if count == 0 || self.take(count) {
                return count;
            }
        }
    }

    /// Gives tokens back.
    #[inline(always)]
    pub(crate) fn give(&self, count: u64) {
        // Relaxed: see `take`.
        let before = self.free.fetch_add(count, Ordering::Relaxed);
        debug_assert!(
            before.checked_add(count).is_some(),
            "tokens came back twice"
        );
    }

    /// The token of one key, if any is free.
    #[inline(always)]
    pub(crate) fn token(&self) -> Option<Token<'_>> {
        self.take(1).then(|| Token(self))
    }

    /// The token of an entry that has just left the cache.
    #[inline(always)]
    pub(crate) fn reclaim(&self) -> Token<'_> {
        Token(self)
    }

    /// How many tokens pinned entries hold.
    pub(crate) fn pinned(&self) -> u64 {
        // Relaxed: a number that stands alone, and lags behind what shards are just about to pin.
        self.pinned.load(Ordering::Relaxed)
    }

    /// Notes that an entry with so many tokens has been pinned.
    pub(crate) fn pin(&self, count: u64) {
        // Relaxed: see `pinned`.
        self.pinned.fetch_add(count, Ordering::Relaxed);
    }

    /// Notes that one that was is pinned no more.
    pub(crate) fn unpin(&self, count: u64) {
        // Relaxed: see `pinned`.
        let before = self.pinned.fetch_sub(count, Ordering::Relaxed);
        debug_assert!(before >= count, "unpinned twice");
    }

    /// Sets how many tokens there are to be. [`Pool::step`] is to be called until it says so.
    pub(crate) fn aim(&self, target: u64) {
        *self.target.lock() = target;
    }

    /// Has the number stay as it is.
    pub(crate) fn give_up(&self) {
        let mut target = self.target.lock();
        // Relaxed: written under the lock that we hold.
        *target = self.max.load(Ordering::Relaxed);
    }

    /// Makes a step toward the target. `evict` is to take up to so many tokens, but at least one if it can, from entries of one shard,
    /// and to return how many it has; it must not run user code, as a lock is held.
    pub(crate) fn step(&self, evict: impl FnOnce(u64) -> u64) -> Step {
        let target = self.target.lock();
        // Relaxed: written under the lock that we hold.
        let max = self.max.load(Ordering::Relaxed);
        if max <= *target {
            self.grow(max, *target);
            return Step::Done;
        }
        let missing = max - *target;
        let mut retired = self.take_some(missing);
        if retired < missing {
            retired += evict(missing - retired);
        }
        if retired > 0 {
            self.set_max(max - retired);
        }
        match retired {
            0 => Step::Nothing,
            _ if retired == missing => Step::Done,
            _ => Step::Some,
        }
    }

    /// The maximum comes first, so that it is never exceeded. For the holder of the lock.
    fn grow(&self, max: u64, target: u64) {
        let more = target - max;
        if more > 0 {
            self.set_max(target);
            // Release: pairs with the Acquire in `used`.
            self.free.fetch_add(more, Ordering::Release);
        }
    }

    /// For the holder of the lock.
    fn set_max(&self, max: u64) {
        // Release, both: pair with the Acquire in `used`.
        self.max.store(max, Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The target is reached.
    Done,
    /// It is nearer.
    Some,
    /// No token was free, nor to be had from that shard.
    Nothing,
}

/// The right to hold one key. Dropped, it returns to the budget.
#[derive(Debug)]
#[must_use]
pub(crate) struct Token<'b>(&'b Pool);

impl Token<'_> {
    /// Leaves the token with an entry that is being published, or with the one that keeps it out of circulation.
    #[inline(always)]
    pub(crate) fn spend(self) {
        std::mem::forget(self);
    }
}

impl Drop for Token<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.give(1);
    }
}

/// The one that collects weight, and what it has so far, which goes back to the pool with it.
#[derive(Debug)]
pub(crate) struct Collector<'b> {
    pool: &'b Pool,
    purse: u64,
    _turn: MutexGuard<'b, ()>,
}

impl Collector<'_> {
    /// Takes what is free, until it has as much as is `wanted`.
    pub(crate) fn take(&mut self, wanted: u64) {
        self.purse += self.pool.take_some(wanted.saturating_sub(self.purse));
    }

    /// How much it has.
    pub(crate) fn purse(&self) -> u64 {
        self.purse
    }

    /// Adds weight that is out.
    pub(crate) fn add(&mut self, weight: u64) {
        self.purse += weight;
    }

    /// Leaves what it has with an entry that is being published.
    pub(crate) fn spend(mut self) {
        self.purse = 0;
    }
}

impl Drop for Collector<'_> {
    fn drop(&mut self) {
        if self.purse > 0 {
            self.pool.give(self.purse);
        }
    }
}
