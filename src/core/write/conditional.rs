//! Puts that depend on what the key has: decided anew as often as that changes.

use super::Write;
use crate::core::entry::{Coming, Entry, Meta};
use crate::core::index::Route;
use crate::core::shard::{Others, Refused};

/// What else decides whether an entry goes in.
pub(crate) trait Gate {
    /// Makes the attempt, or refuses it for good. The attempt may be made under a lock: it takes that of one shard, waits for
    /// nothing else, and runs no user code.
    fn pass<R>(&self, attempt: impl FnOnce() -> R) -> Option<R>;
}

/// Nothing else.
#[derive(Debug)]
pub(crate) struct Open;

impl Gate for Open {
    fn pass<R>(&self, attempt: impl FnOnce() -> R) -> Option<R> {
        Some(attempt())
    }
}

impl<K: Eq, V> Write<'_, K, V> {
    /// Puts a value under a key, with a deadline as in [`Meta::new`], if `goes` accepts what the key has and the gate lets it
    /// pass; gives key and value back if not. Returns the id that the entry is filed under.
    ///
    /// Keys are compared, `goes` is asked and tokens are fetched outside of the gate.
    ///
    /// # Panics
    /// If a reader that never ends has let entries queue up until no id is left.
    pub(crate) fn put_where(
        &mut self,
        route: Route,
        (deadline, key, value): (u64, K, V),
        goes: impl Fn(Option<&Entry<K, V>>) -> bool,
        gate: &impl Gate,
    ) -> Result<u32, (K, V)> {
        let meta = Meta::new(self.context.index.fragment_of(route), deadline);
        let mut entry = Entry { meta, key, value };
        let is_it = |other: &K| *other == entry.key;
        let mut seen = self.store.look(&self.pin, route, is_it);
        let mut others = Others::new();
        let mut token = None;
        while goes(self.seen(&seen)) {
            let Entry { meta, key, value } = entry;
            let coming = Coming::new(meta, key, value);
            let attempt = || self.try_put(seen, &others, token.take(), &coming);
            let refused = match gate.pass(attempt) {
                Some(Ok(id)) => return Ok(id),
                Some(Err(refused)) => Some(refused),
                None => None,
            };
            entry = coming.into_entry();
            match refused {
                None => break,
                Some(Refused::Raced) => {
                    let is_it = |other: &K| *other == entry.key;
                    (seen, others) = self.look_closely(route, is_it);
                }
                Some(missing) => token = self.supply(route, missing),
            }
            self.garbage.move_up();
        }
        Err((entry.key, entry.value))
    }
}
