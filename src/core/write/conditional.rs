//! Puts that depend on what the key has: decided anew as often as that changes.

use super::{Refusal, Write};
use crate::core::budget::Collector;
use crate::core::entry::Entry;
use crate::core::index::Route;
use crate::core::life::{Deadlines, Limit};
use crate::core::shard::{Attempt, Hit, Others, Refused, Special, Terms};

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

impl<'s, K: Eq, V> Write<'s, K, V> {
    /// Puts a value under a key, if `goes` accepts what the key has and the gate lets it pass; gives key and value back if not, with
    /// the reason if there is no room for them. Returns the id that the entry is filed under.
    ///
    /// Keys are compared, `goes` is asked, tokens are fetched and weight is collected outside of the gate.
    ///
    /// # Panics
    /// If a reader that never ends has let entries queue up until no id is left.
    pub(crate) fn put_where<L: Limit>(
        &mut self,
        route: Route,
        (deadlines, key, value): (impl Into<Deadlines<L>>, K, V),
        terms: Terms,
        goes: impl Fn(Option<Hit<'_, K, V>>) -> bool,
        gate: &impl Gate,
    ) -> Result<u32, (Option<Refusal>, K, V)> {
        let deadlines = deadlines.into();
        let mut entry = Entry { key, value };
        let is_it = |other: &K| *other == entry.key;
        let mut seen = self.store.look(&self.pin, route, is_it);
        let mut others = Others::new();
        let mut token = None;
        let mut collector: Option<Collector<'s>> = None;
        while goes(self.seen(&seen)) {
            let Entry { key, value } = entry;
            let coming = self.coming(route, deadlines, key, value);
            let attempt = || {
                let attempt = Attempt {
                    seen,
                    others: &others,
                    token: token.take(),
                    terms,
                    purse: collector.as_ref().map(Collector::purse),
                };
                let shard = self.store.shard(route);
                // SAFETY: the entry is used only if it is refused.
                unsafe {
                    shard.put::<L, Special>(
                        &self.context,
                        &mut self.garbage,
                        &self.pin,
                        attempt,
                        &coming,
                    )
                }
            };
            let mut refused = match gate.pass(attempt) {
                Some(Ok(id)) => {
                    if let Some(collector) = collector {
                        collector.spend();
                    }
                    return Ok(id);
                }
                Some(Err(refused)) => Some(refused),
                None => None,
            };
            entry = coming.into_entry();
            if let Some(missing) = refused {
                match self.supply(&seen, terms, missing, &mut collector) {
                    Ok(found) => token = found,
                    Err(refusal) => {
                        if self.refuse(seen) {
                            return Err((Some(refusal), entry.key, entry.value));
                        }
                        refused = Some(Refused::Raced);
                    }
                }
            }
            match refused {
                None => break,
                Some(Refused::Raced) => {
                    // Others go first, as keys are compared here, which is the user's affair.
                    collector = None;
                    let is_it = |other: &K| *other == entry.key;
                    (seen, others) = self.look_closely(route, is_it);
                }
                Some(_) => {}
            }
            self.garbage.move_up();
        }
        Err((None, entry.key, entry.value))
    }
}
