//! Changing how much a store holds, beside whoever reads and writes.
//!
//! A store shrinks in steps: each evicts a few entries of one shard, under its lock, and retires their tokens before the lock is released.
//! Between two steps nothing is held, and others may do as they like: what they insert meanwhile takes tokens that are left.

use super::budget::{Pool, Step};
use super::garbage::Garbage;
use super::shard::{Context, Locked};
use super::store::Store;
use crate::sync::thread;

/// How many entries one step evicts at most.
const AT_ONCE: usize = 64;

/// What is pinned is more than there is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooMuchPinned(pub(crate) u64);

impl<K, V> Store<K, V> {
    /// Makes `max_keys` what the store holds at most, or what another resize says meanwhile. It does when this returns. If pinned
    /// entries are in the way it holds what it could not give up.
    pub(crate) fn set_max_keys(
        &self,
        context: &Context<'_>,
        max_keys: usize,
    ) -> Result<(), TooMuchPinned> {
        let expected = max_keys.div_ceil(self.shards().len());
        let shrinks = max_keys < self.max_keys();
        if !shrinks {
            self.expect(context, expected);
        }
        let keys = &context.budget.keys;
        self.resize(context, keys, max_keys as u64, |locked, missing, most| {
            locked.shed_keys(most.min(missing as usize))
        })
    }

    /// As [`Store::set_max_keys`], of what the entries weigh, if they are weighed.
    pub(crate) fn set_max_weight(
        &self,
        context: &Context<'_>,
        max_weight: u64,
    ) -> Result<(), TooMuchPinned> {
        let Some(pool) = context.budget.weight() else {
            return Ok(());
        };
        self.resize(context, pool, max_weight, |locked, missing, most| {
            locked.shed_weight(most, missing)
        })
    }

    /// Has the shards' lists expect as many entries.
    fn expect(&self, context: &Context<'_>, expected: usize) {
        for shard in self.shards() {
            shard.locked(context, &mut Garbage::none(), |it| it.expect(expected));
        }
    }

    /// `shed` is to take out up to so many tokens, by as many evictions of one shard at most, and to return how many it has.
    fn resize(
        &self,
        context: &Context<'_>,
        pool: &Pool,
        target: u64,
        shed: impl Fn(&mut Locked<'_, '_, '_, K, V>, u64, usize) -> u64,
    ) -> Result<(), TooMuchPinned> {
        // What has expired goes first.
        if pool.used() > target {
            self.purge_expired(context);
        }
        let pinned = pool.pinned();
        if pinned > target {
            return Err(TooMuchPinned(pinned));
        }
        pool.aim(target);
        let shards = self.shards();
        let mut in_vain = 0;
        for shard in shards.iter().cycle() {
            let average = (context.budget.keys.used() as usize / shards.len()).max(1);
            let mut garbage = Garbage::none();
            let step = pool.step(|missing| {
                shard.locked(context, &mut garbage, |locked| {
                    // More of those that have more.
                    let share = locked.len().saturating_mul(AT_ONCE / 2) / average;
                    shed(locked, missing, share.clamp(1, AT_ONCE))
                })
            });
            // Here no lock is held any more.
            drop(garbage);
            match step {
                Step::Done => break,
                Step::Some => in_vain = 0,
                Step::Nothing => in_vain += 1,
            }
            if in_vain == shards.len() {
                in_vain = 0;
                if pool.pinned() >= pool.max() {
                    let pinned = pool.pinned();
                    pool.give_up();
                    return Err(TooMuchPinned(pinned));
                }
                // The others are in the hands of threads that are about to publish their entries.
                thread::yield_now();
            }
        }
        self.collect(context);
        Ok(())
    }
}
