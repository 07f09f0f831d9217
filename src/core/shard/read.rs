//! Reads: no lock, and no write but to the reader's own line and, once an era, to the entry's stamp.

use super::{NOBODY, SHARED, Shard};
use crate::core::entry::Entry;
use crate::core::index::{Fragment, Place};
use crate::core::reclaim::Pin;
use crate::core::table::Hit;
use crate::sync::Ordering;

/// What a writer saw of a key before it took the lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(super) fragment: Fragment,
    pub(super) id: Option<u32>,
    /// Where the id was filed, as long as the version stands.
    pub(super) place: Place,
    pub(super) version: u64,
}

impl Seen {
    /// No version stands for ever.
    const OUTDATED: u64 = u64::MAX;

    /// An entry that [`Table::for_each`](crate::core::table::Table::for_each) showed; the pin must still be the same.
    pub(crate) fn entry<K, V>(id: u32, entry: &Entry<K, V>) -> Self {
        Self {
            fragment: entry.meta.fragment(),
            id: Some(id),
            place: Place::default(),
            version: Self::OUTDATED,
        }
    }
}

impl<K, V> Shard<K, V> {
    /// As [`Table::find`](crate::core::table::Table::find), with what a writer needs to know whether that still holds once it has the lock. `find` must look
    /// into the table that is in place when it is called.
    #[inline(always)]
    pub(crate) fn look<'p>(
        &self,
        fragment: Fragment,
        find: impl FnOnce() -> Option<Hit<'p, K, V>>,
    ) -> (Seen, Option<Hit<'p, K, V>>) {
        // Acquire: pairs with the Release in `Writer::changed`; we see at least what this version has.
        let version = self.back.version.load(Ordering::Acquire);
        let hit = find();
        let seen = Seen {
            fragment,
            id: hit.as_ref().map(|hit| hit.id),
            place: hit.as_ref().map_or_else(Place::default, |hit| hit.place),
            version,
        };
        (seen, hit)
    }

    /// Leaves the stamp of this read in the entry.
    #[inline(always)]
    pub(crate) fn touch(&self, pin: &Pin<'_>, hit: &Hit<'_, K, V>) {
        // Relaxed, both: recency orders nothing.
        let mut era = self.front.era.load(Ordering::Relaxed);
        let owner = self.front.owner.load(Ordering::Relaxed);
        if owner != SHARED {
            era = self.begin_era(pin, owner, era);
        }
        hit.slot.member.stamp.touch(era);
    }

    /// In an exact list, a read of the one thread that uses it is an era of its own; a second thread ends that.
    fn begin_era(&self, pin: &Pin<'_>, owner: u64, era: u64) -> u64 {
        let me = pin.index() as u64 + 1;
        if owner != me {
            // Relaxed: threads that race here all leave; whose store is last decides who begins eras next.
            let now = if owner == NOBODY { me } else { SHARED };
            self.front.owner.store(now, Ordering::Relaxed);
            if now == SHARED {
                return era;
            }
        }
        // Relaxed: if another thread stores too, eras repeat or step back; a writer then goes on from the later one.
        self.front.era.store(era + 1, Ordering::Relaxed);
        era + 1
    }
}
