//! How a writer looks a key up, before it takes the lock: as a reader does, but so that it can tell later whether what it saw still
//! stands.

use super::{Hit, Shard};
use crate::core::index::{Index, Lane, Route};
use crate::core::reclaim::Pin;
use crate::sync::Ordering;
use smallvec::SmallVec;
use std::cell::RefCell;

/// What a writer saw of a key before it took the lock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(super) version: u64,
    /// Where the id was filed, as long as the version stands; none if the key was absent.
    pub(super) lane: Option<Lane>,
    /// The id, unless the key was absent.
    pub(super) id: u32,
    pub(super) route: Route,
}

impl Seen {
    /// No version stands for ever.
    const OUTDATED: u64 = u64::MAX;
    /// In the place of an id.
    pub(super) const ABSENT: u32 = u32::MAX;

    #[inline(always)]
    fn new(version: u64, route: Route, found: Option<(Lane, u32)>) -> Self {
        Self {
            version,
            lane: found.map(|(lane, _)| lane),
            id: found.map_or(Self::ABSENT, |(_, id)| id),
            route,
        }
    }

    /// Where the key belongs.
    #[inline(always)]
    pub(crate) fn route(&self) -> Route {
        self.route
    }

    /// The id of the key's entry, if it has one.
    #[inline(always)]
    pub(crate) fn id(&self) -> Option<u32> {
        (self.id != Self::ABSENT).then_some(self.id)
    }

    /// An entry that [`Shard::for_each`] showed; the pin must still be the same. Or one that is held.
    pub(super) fn entry(route: Route, id: u32) -> Self {
        Self {
            version: Self::OUTDATED,
            lane: None,
            id,
            route,
        }
    }
}

/// What else is filed under a key's fragment: ids whose entries were compared with the key, and are others'. As long as the
/// writer is pinned they stand for the same entries.
pub(crate) type Others = SmallVec<[u32; 4]>;

impl<K, V> Shard<K, V> {
    /// Looks a key up as `Front::find` does, and says what a writer needs to know whether that still holds once it has the lock.
    #[inline(always)]
    pub(crate) fn look<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        index: &Index,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> Seen {
        // Acquire: pairs with the Release in `Locked::changed`; we see at least what this version has.
        let version = self.back.version.load(Ordering::Acquire);
        let found = index.find_lane(route, |id| is_it(&self.hit_of(pin, id).entry.key));
        Seen::new(version, route, found)
    }

    /// The entry that was seen. The pin must be that of the look.
    #[inline(always)]
    pub(crate) fn seen<'p>(&'p self, pin: &'p Pin<'_>, seen: &Seen) -> Option<Hit<'p, K, V>> {
        seen.id().map(|id| self.hit_of(pin, id))
    }

    /// As [`Shard::look`], for a writer that was refused: with the others of the key's fragment, so that only an entry that
    /// comes to them meanwhile makes it look once more.
    #[cold]
    pub(crate) fn look_closely<'p>(
        &'p self,
        pin: &'p Pin<'_>,
        index: &Index,
        route: Route,
        is_it: impl Fn(&K) -> bool + Copy,
    ) -> (Seen, Others) {
        // Comparing is the user's affair, and may come back here: not while the list is borrowed.
        let others = RefCell::new(Others::new());
        // Acquire: as in `look`.
        let version = self.back.version.load(Ordering::Acquire);
        let fragment = index.fragment_of(route);
        let found = index.find_lane(route, |id| {
            let hit = self.hit_of(pin, id);
            let found = is_it(&hit.entry.key);
            if !found && hit.meta().fragment() == fragment {
                others.borrow_mut().push(id);
            }
            found
        });
        (Seen::new(version, route, found), others.into_inner())
    }

    /// The entry behind an id that this pinned thread has just found in the index.
    #[inline(always)]
    fn hit_of<'p>(&'p self, pin: &'p Pin<'_>, id: u32) -> Hit<'p, K, V> {
        // SAFETY: the id was found in the index by this pinned thread.
        unsafe { self.front().hit(pin, id) }
    }
}
