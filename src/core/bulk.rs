//! Writes of many keys: `clear`, `retain`, `purge_expired`.

use super::garbage::Garbage;
use super::reclaim::Pin;
use super::shard::{Context, Held, Seen, Shard};
use super::store::Store;
use crate::sync::thread;

/// How many entries go between two releases of the lock.
const AT_ONCE: u32 = 64;
/// How often a collection waits for readers to leave.
const PATIENCE: u32 = 16;
/// In how many turns what has left gets out of limbo if there are none: it is sealed, and idle readers are asked.
const TURNS: u32 = 2;

impl<K, V> Store<K, V> {
    /// Takes out all entries that `keep` refuses; it is called without a lock.
    pub(crate) fn retain(
        &self,
        context: &Context<'_>,
        pin: impl Fn() -> Pin<'static>,
        mut keep: impl FnMut(&Held<'_, '_, K, V>) -> bool,
    ) {
        let is_inside = pin().is_inner();
        for shard in self.shards() {
            self.show(shard, &pin, |seen, held| {
                if !keep(held) {
                    // Refused if a writer was faster: then what the key has now was not refused by `keep`.
                    let _ =
                        shard.locked(context, &mut Garbage::none(), |locked| locked.remove(seen));
                }
            });
        }
        // Who is inside a read would wait for itself.
        self.collect_patiently(context, if is_inside { 0 } else { PATIENCE });
    }

    /// Calls `each` for all entries, without a lock: each is held for the time of the call, and nothing else is.
    pub(crate) fn show_all(
        &self,
        pin: impl Fn() -> Pin<'static>,
        mut each: impl FnMut(&Held<'_, '_, K, V>),
    ) {
        for shard in self.shards() {
            self.show(shard, &pin, |_, held| each(held));
        }
    }

    /// As [`Store::show_all`], of one shard; with what a writer needs to take the entry out during the call.
    fn show(
        &self,
        shard: &Shard<K, V>,
        pin: &impl Fn() -> Pin<'static>,
        mut each: impl FnMut(Seen, &Held<'_, '_, K, V>),
    ) {
        let mut filed = Vec::new();
        shard.for_each(&pin(), self.index(), |seen, _| filed.push(seen));
        for seen in filed {
            let pin = pin();
            // Gone since; or another entry's by now, which is shown as well.
            let id = seen
                .id()
                .filter(|&id| self.is_filed(&pin, seen.route(), id));
            if let Some(id) = id {
                let held = shard.front().hold(pin, id);
                each(seen, &held);
            }
        }
    }

    /// All that a shard holds, from the least to the most recently used, as far as stamps tell.
    #[cfg(feature = "serde")]
    pub(crate) fn by_use(&self, pin: &Pin<'_>, shard: usize) -> Vec<Seen> {
        self.shards()[shard].by_use(pin, self.index())
    }

    /// Holds what was shown once, or what has taken its place since: what is filed under the same fragment, of the same key but for
    /// one in 2^26. None if nothing is.
    #[cfg(feature = "serde")]
    pub(crate) fn hold_again<'s, 'd>(
        &'s self,
        pin: Pin<'d>,
        seen: &Seen,
    ) -> Option<Held<'s, 'd, K, V>> {
        let shard = self.shard(seen.route());
        let id = shard.filed_like(self.index(), seen)?;
        Some(shard.front().hold(pin, id))
    }

    /// Takes everything out.
    pub(crate) fn clear(&self, context: &Context<'_>) {
        for shard in self.shards() {
            if shard.listener().is_none() {
                shard.locked(context, &mut Garbage::none(), |locked| locked.clear());
                continue;
            }
            // What is told of is held, so not all at a time.
            let mut left = shard.locked(context, &mut Garbage::none(), |locked| locked.count());
            while left > 0 {
                let most = left.min(AT_ONCE as usize);
                let mut garbage = Garbage::none();
                let cleared = shard.locked(context, &mut garbage, |it| it.clear_some(most));
                left = if cleared < most { 0 } else { left - cleared };
            }
        }
        self.collect(context);
    }

    /// Takes out all entries that are expired; says how many.
    pub(crate) fn purge_expired(&self, context: &Context<'_>) -> usize {
        let mut purged = 0;
        for shard in self.shards() {
            while shard.due() <= context.now {
                purged += shard.locked(context, &mut Garbage::none(), |locked| {
                    locked.expire(AT_ONCE)
                });
            }
        }
        self.collect(context);
        purged
    }

    /// Drops what has left the cache until now, as far as readers allow that soon.
    pub(super) fn collect(&self, context: &Context<'_>) {
        self.collect_patiently(context, PATIENCE);
    }

    /// The same; waits for readers `patience` times in all.
    fn collect_patiently(&self, context: &Context<'_>, mut patience: u32) {
        for shard in self.shards() {
            // What leaves limbo leaves it in the order in which it came: this many, and all that was there at first is gone.
            let mut left = None;
            let mut in_vain = 0;
            loop {
                let mut garbage = Garbage::none();
                let (before, more) = shard.collect(context, &mut garbage, AT_ONCE);
                left = Some(left.unwrap_or(before).saturating_sub(garbage.len()));
                if !more || left == Some(0) {
                    break;
                }
                if garbage.len() > 0 {
                    continue;
                }
                in_vain += 1;
                if in_vain <= TURNS {
                    continue;
                }
                if patience == 0 {
                    break;
                }
                patience -= 1;
                thread::yield_now();
            }
        }
    }
}
