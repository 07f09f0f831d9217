//! One shard: what readers see (`front`), and what writers guard with the shard's lock (`back`).

mod deadlines;
mod leave;
mod locked;
mod look;
mod needs;
mod pinned;
mod read;
mod recency;
mod reuse;
mod vacancies;
mod weigh;
mod write;

pub(crate) use locked::{Context, Locked, Refused};
pub(crate) use look::{Others, Seen};
pub(crate) use needs::{Care, Needs, Plain, Special, Weighed};
pub(crate) use read::{Found, Held, Hit};
pub(crate) use write::{Attempt, Pinning, Terms};

use super::entry::Entry;
use super::garbage::Retired;
use super::index::{Fragment, Index};
use super::limbo::Limbo;
use super::list::{List, Stamp};
use super::listener::Listener;
use super::policy::{Adaptive, Balance, Policy};
use super::side::SideWords;
use super::sizing::Sizing;
use super::slab::{Slab, Slots};
use super::wheel::{IDLE, Wheel};
use crate::sync::{AtomicU64, CachePadded, Mutex, Ordering};
use pinned::Pinned;
use std::ptr::NonNull;
use std::sync::Arc;
use vacancies::Vacancies;

/// One shard of a store.
#[derive(Debug)]
pub(crate) struct Shard<K, V> {
    /// Which of the store's shards this is.
    number: usize,
    /// In `fronts`.
    front: NonNull<Front<K, V>>,
    /// Where the front is.
    #[expect(dead_code, reason = "it keeps the front where it is")]
    fronts: Fronts<K, V>,
    listener: Option<Arc<Listener<K, V>>>,
    back: CachePadded<Back>,
}

/// Those of all shards, side by side, so that a hit needs nothing else of its shard.
pub(crate) type Fronts<K, V> = Arc<[CachePadded<Front<K, V>>]>;

/// Read by every hit; written when an era begins. What hits need of the slab is on the same line.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Front<K, V> {
    /// What hits compare stamps with: that of the era, or [`CLOSER`].
    current: AtomicU64,
    /// The era that reads stamp with.
    era: AtomicU64,
    /// In an exact list, the thread whose reads each begin an era: [`NOBODY`] yet, `index + 1`, or [`SHARED`].
    owner: AtomicU64,
    slab: Slab<K, V>,
}

/// In an exact list: a number that is no stamp's, so that each hit looks closer at what its era is.
const CLOSER: u64 = u64::MAX;
const NOBODY: u64 = 0;
/// Threads have read the shard at the same time, or its list is not exact: reads begin no eras.
const SHARED: u64 = u64::MAX;

/// Laid out by how often the fields are written: the line that comes first and the next one at every write, the others
/// hardly ever, so that few lines go from one core to another.
#[derive(Debug)]
#[repr(C)]
struct Back {
    /// Counts changes to the index, so that a writer knows whether what it saw before it took the lock still stands.
    version: AtomicU64,
    /// A copy of the wheel's `next_due`, for those who do not hold the lock.
    due: AtomicU64,
    inner: Mutex<Inner>,
}

/// What the lock guards; see [`Back`] for the order.
#[derive(Debug)]
#[repr(C)]
pub(in crate::core) struct Inner {
    counts: Counts,
    /// Links since threads were last seen to read an exact list at the same time.
    links: u32,
    /// Most shards need not look further.
    needs: Needs,
    list: List,
    limbo: Limbo<Retired>,
    wheel: Wheel,
    vacancies: Vacancies,
    /// None for LRU, whose order is all in the list.
    adaptive: Option<Box<Adaptive>>,
    /// What the entries weighed that have left since the lock was taken.
    loose: u64,
    /// As long as any entry is pinned.
    pinned: Option<Box<Pinned>>,
    rare: RareCounts,
}

/// What has happened in a shard since it was made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) inserts: u64,
    pub(crate) evictions: u64,
    pub(crate) expirations: u64,
}

/// As [`Counts`], for what happens in few stores.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RareCounts {
    pub(crate) evicted_weight: u64,
    pub(crate) refusals: u64,
    pub(crate) removals: u64,
    pub(crate) cleared: u64,
}

// SAFETY: the pointer is a shared reference into what the shard owns a share of.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Shard<K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Shard<K, V> {}

impl<K, V> Shard<K, V> {
    /// The fronts of as many empty shards.
    pub(crate) fn fronts(shards: usize, sizing: Sizing) -> Fronts<K, V> {
        let list = sizing.list();
        let exact = list.is_exact();
        let front = |_| Front {
            current: AtomicU64::new(if exact {
                CLOSER
            } else {
                Stamp::of_era(list.era())
            }),
            era: AtomicU64::new(list.era()),
            owner: AtomicU64::new(if exact { NOBODY } else { SHARED }),
            slab: Slab::new(sizing.slots(), sizing.bytes(), sizing.side()),
        };
        (0..shards).map(|it| CachePadded(front(it))).collect()
    }

    /// An empty shard, whose front is among these. Its policy is adaptive if it is given the store's balance.
    pub(crate) fn new(
        number: usize,
        fronts: Fronts<K, V>,
        sizing: Sizing,
        balance: Option<Arc<Balance>>,
    ) -> Self {
        debug_assert_eq!(sizing.policy() == Policy::Adaptive, balance.is_some());
        Self {
            number,
            front: NonNull::from(&*fronts[number]),
            fronts,
            listener: None,
            back: CachePadded(Back {
                version: AtomicU64::new(0),
                due: AtomicU64::new(IDLE),
                inner: Mutex::new(Inner {
                    vacancies: Vacancies::default(),
                    limbo: Limbo::new(sizing.batch()),
                    list: sizing.list(),
                    adaptive: balance.map(|it| Box::new(Adaptive::new(sizing.expected(), it))),
                    wheel: Wheel::new(),
                    counts: Counts::default(),
                    links: 0,
                    needs: needs_of(sizing.side(), false),
                    loose: 0,
                    pinned: None,
                    rare: RareCounts::default(),
                }),
            }),
        }
    }

    #[inline(always)]
    pub(super) fn front(&self) -> &Front<K, V> {
        // SAFETY: in `fronts`, which stay as long as the shard.
        unsafe { self.front.as_ref() }
    }

    /// A time before which nothing here is due to expire.
    #[inline(always)]
    pub(crate) fn due(&self) -> u64 {
        // Relaxed: a hint; who acts on it takes the lock.
        self.back.due.load(Ordering::Relaxed)
    }

    /// As if there had been so many reads that the next one begins this era.
    #[cfg(test)]
    pub(crate) fn skip_to(&self, era: u64) {
        self.front().era.store(era - 1, Ordering::Relaxed);
    }

    /// Whether this id is filed under this fragment.
    pub(crate) fn is_filed(&self, index: &Index, fragment: Fragment, id: u32) -> bool {
        let _writer = self.back.inner.lock();
        index.place_of(self.number, fragment, id).is_some()
    }

    /// The id that was seen, if it is filed, or else another one of its fragment.
    #[cfg(feature = "serde")]
    pub(crate) fn filed_like(&self, index: &Index, seen: &Seen) -> Option<u32> {
        let _writer = self.back.inner.lock();
        let (route, slots) = (seen.route(), self.front().slab.slots());
        let fragment = index.fragment_of(route);
        let is_filed = |&id: &u32| index.place_of(self.number, fragment, id).is_some();
        let is_like = |id| {
            let filed = slots.slot(id).word().get().fragment();
            (filed == fragment).then_some(id)
        };
        let seen = seen.id().filter(is_filed);
        seen.or_else(|| index.find(route, is_like).map(|(_, id)| id))
    }

    /// What has happened, and how many entries have left the list and are still in their slots.
    pub(crate) fn counts(&self) -> (Counts, RareCounts, u32) {
        let inner = self.back.inner.lock();
        let (counts, rare) = (inner.counts, inner.rare);
        (counts, rare, inner.limbo.queued())
    }

    /// Who is told what leaves.
    pub(crate) fn listener(&self) -> Option<&Arc<Listener<K, V>>> {
        self.listener.as_ref()
    }

    /// Has a listener be told what leaves from now on. Of a shard that nobody uses yet.
    pub(crate) fn listen(&mut self, listener: Arc<Listener<K, V>>) {
        self.back.inner.lock().needs = Needs::All;
        self.listener = Some(listener);
    }

    /// How many entries have left the list and are still in their slots, and how many slots there is memory for.
    #[cfg(test)]
    pub(crate) fn backlog(&self) -> (usize, usize) {
        let inner = self.back.inner.lock();
        (inner.limbo.len(), self.front().slab.capacity())
    }

    /// Checks every organ and that they agree with the table. No other thread may write.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, index: &super::index::Index) {
        let inner = self.back.inner.lock();
        let slots = self.front().slab.slots();
        inner.list.validate(slots);
        if let Some(adaptive) = &inner.adaptive {
            adaptive.validate(&inner.list, slots);
        }
        inner.wheel.validate(self.front().slab.ids(), &slots);
        let mut filed: Vec<u32> = index.ids(self.number).collect();
        let mut listed: Vec<u32> = inner.list.iter(slots).collect();
        assert_eq!(listed.len(), inner.list.len());
        listed.extend(inner.pinned_ids(slots));
        filed.sort_unstable();
        listed.sort_unstable();
        assert_eq!(filed, listed, "index and lists disagree");
        if let Some(pinned) = &inner.pinned {
            pinned.validate(slots);
        }
        assert_eq!(inner.loose, 0, "weight is kept back");
        index.validate(self.number, |id| slots.slot(id).word().get().fragment());
    }
}

impl<K, V> Drop for Shard<K, V> {
    fn drop(&mut self) {
        let inner = self.back.inner.lock();
        let slots = self.front().slab.slots();
        let limbo = inner.limbo.slots(|id| slots.node(id));
        let listed = inner.list.iter(slots).chain(inner.pinned_ids(slots));
        let ids: Vec<u32> = listed.chain(limbo).collect();
        let mut rest = Rest {
            slots,
            ids: ids.into_iter(),
        };
        drop(inner);
        rest.drop_all();
    }
}

/// What a shard needs where nothing is pinned.
fn needs_of(side: SideWords, listens: bool) -> Needs {
    match (listens, side.has(SideWords::WEIGHT)) {
        (true, _) => Needs::All,
        (false, true) => Needs::Weights,
        (false, false) => Needs::Nothing,
    }
}

/// The entries that are left when a shard is dropped. Should the drop of one panic, the others are dropped all the same.
struct Rest<'s, K, V> {
    slots: Slots<'s, K, V>,
    ids: std::vec::IntoIter<u32>,
}

impl<K, V> Rest<'_, K, V> {
    fn drop_all(&mut self) {
        for id in self.ids.by_ref() {
            // SAFETY: a slot in a list or in limbo holds an entry; each id is in one of them once, and no reader is left.
            let entry: Entry<K, V> = unsafe { self.slots.slot(id).take() };
            drop(entry);
        }
    }
}

impl<K, V> Drop for Rest<'_, K, V> {
    fn drop(&mut self) {
        self.drop_all();
    }
}
