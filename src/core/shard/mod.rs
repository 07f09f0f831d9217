//! One shard: what readers see (`front`), and what writers guard with the shard's lock (`back`).

mod read;
mod write;

pub(crate) use read::{Hit, Seen};
pub(crate) use write::{Context, Leftovers, Refused};

use super::entry::Entry;
use super::index::{Index, LANES};
use super::limbo::Limbo;
use super::list::List;
use super::slab::{Directory, Slab};
use super::wheel::{IDLE, Wheel};
use crate::sync::{AtomicPtr, AtomicU64, CachePadded, Mutex, Ordering};
use std::marker::PhantomData;
use write::Retired;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shard<K, V> {
    front: CachePadded<Front<K, V>>,
    back: CachePadded<Back<K, V>>,
    /// Readers on any thread see `&K` and `&V`.
    shares: PhantomData<(K, V)>,
}

/// Read by every read; written when the index grows or an era begins.
#[derive(Debug)]
struct Front<K, V> {
    /// Never null; replaced by a writer, freed after a grace period.
    generation: AtomicPtr<Generation<K, V>>,
    /// The era that reads stamp with.
    era: AtomicU64,
    /// In an exact list, the one thread whose reads each begin an era: [`NOBODY`] yet, `index + 1`, or [`SHARED`].
    owner: AtomicU64,
}

const NOBODY: u64 = 0;
/// More than one thread uses the shard, or its list is not exact: reads begin no eras.
const SHARED: u64 = u64::MAX;

#[derive(Debug)]
struct Back<K, V> {
    /// Counts changes to the index, so that a writer knows whether what it saw before it took the lock still stands.
    version: AtomicU64,
    /// A copy of the wheel's `next_due`, for those who do not hold the lock.
    due: AtomicU64,
    inner: Mutex<Inner<K, V>>,
}

/// An index and the way from its ids to the slots.
#[derive(Debug)]
struct Generation<K, V> {
    index: Index,
    directory: Directory<K, V>,
}

/// What the lock guards.
#[derive(Debug)]
struct Inner<K, V> {
    slab: Slab<K, V>,
    /// Vacant slots that have been used before.
    free: Vec<u32>,
    limbo: Limbo<Retired<K, V>>,
    list: List,
    wheel: Wheel,
    counts: Counts,
    sizing: Sizing,
    /// Links since the exact list's owner was last chosen.
    links: u32,
}

/// What has happened in a shard since it was made.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) inserts: u64,
    pub(crate) evictions: u64,
    pub(crate) expirations: u64,
}

/// What a shard that expects a number of keys starts and grows with.
#[derive(Debug, Clone, Copy)]
struct Sizing {
    expected: usize,
    batch: usize,
}

impl Sizing {
    /// Keys to a hundred buckets that a new index has room for: 80 % of the lanes.
    const DENSITY: usize = 960;

    fn new(expected: usize) -> Self {
        Self {
            expected,
            batch: (expected / 16).clamp(8, 256),
        }
    }

    fn chunk_bits(self) -> u32 {
        (self.expected / 8)
            .next_power_of_two()
            .clamp(8, 1024)
            .trailing_zeros()
    }

    /// Buckets for an index that is to take `keys` keys soon: twice as many while it is far from what is expected, then
    /// just that, then an eighth more each time.
    fn buckets(self, keys: usize) -> usize {
        let expected = self.expected + self.expected / 16 + 8;
        let room = if keys * 2 < expected {
            keys * 2
        } else {
            expected.max(keys + keys / 8)
        };
        (room * 100).div_ceil(Self::DENSITY)
    }

    /// How many keys an index may hold before it is replaced by a larger one: 7 of 8 lanes.
    fn max_keys(buckets: usize) -> usize {
        (buckets * LANES * 7 / 8).max(1)
    }

    /// Ids that a directory beside that many buckets has room for.
    fn ids(self, buckets: usize) -> usize {
        Self::max_keys(buckets) + 4 * self.batch
    }
}

impl<K, V> Shard<K, V> {
    /// An empty shard that expects about `expected` keys.
    pub(crate) fn new(expected: usize) -> Self {
        let sizing = Sizing::new(expected);
        let slab = Slab::new(sizing.chunk_bits());
        let list = List::new(expected);
        let generation = Box::new(Generation::new(sizing, &slab, 1));
        Self {
            front: CachePadded(Front {
                generation: AtomicPtr::new(Box::into_raw(generation)),
                era: AtomicU64::new(list.era()),
                owner: AtomicU64::new(if list.is_exact() { NOBODY } else { SHARED }),
            }),
            back: CachePadded(Back {
                version: AtomicU64::new(0),
                due: AtomicU64::new(IDLE),
                inner: Mutex::new(Inner {
                    slab,
                    free: Vec::new(),
                    limbo: Limbo::new(sizing.batch),
                    list,
                    wheel: Wheel::new(),
                    counts: Counts::default(),
                    sizing,
                    links: 0,
                }),
            }),
            shares: PhantomData,
        }
    }

    /// A time before which nothing here is due to expire.
    #[inline(always)]
    pub(crate) fn due(&self) -> u64 {
        // Relaxed: a hint; who acts on it takes the lock.
        self.back.due.load(Ordering::Relaxed)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.back.inner.lock().counts
    }

    /// Checks every organ and that they agree.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self) {
        let inner = self.back.inner.lock();
        inner.list.validate();
        inner.wheel.validate(&inner.slab);
        // SAFETY: the lock is held, so the generation is not replaced.
        let generation = unsafe { &*self.front.generation.load(Ordering::Acquire) };
        let entry = |id| {
            // SAFETY: called for ids in the index and the list, which are live while the lock is held.
            unsafe { inner.slab.slot(id).entry() }
        };
        generation.index.validate(|id| entry(id).meta.fragment());
        let mut filed: Vec<u32> = generation.index.ids().collect();
        let mut listed: Vec<u32> = inner.list.iter().collect();
        filed.sort_unstable();
        listed.sort_unstable();
        assert_eq!(filed, listed, "index and list disagree");
        assert_eq!(listed.len(), inner.list.len());
    }
}

impl<K, V> Generation<K, V> {
    fn new(sizing: Sizing, slab: &Slab<K, V>, keys: usize) -> Self {
        let buckets = sizing.buckets(keys);
        Self {
            index: Index::new(buckets),
            directory: Directory::new(slab, sizing.ids(buckets)),
        }
    }
}

impl<K, V> Drop for Shard<K, V> {
    fn drop(&mut self) {
        // Relaxed: `&mut self` means that no other thread is left.
        let generation = self.front.generation.load(Ordering::Relaxed);
        // SAFETY: made by `Box::into_raw`; the last one was never retired, and is freed only here.
        let generation = unsafe { Box::from_raw(generation) };
        let inner = self.back.inner.lock();
        let ids: Vec<u32> = generation.index.ids().chain(inner.limbo.slots()).collect();
        let mut rest = Rest {
            slab: &inner.slab,
            ids: ids.into_iter(),
        };
        rest.drop_all();
    }
}

/// The entries that are left when a shard is dropped. Should the drop of one panic, the others are dropped all the same.
struct Rest<'s, K, V> {
    slab: &'s Slab<K, V>,
    ids: std::vec::IntoIter<u32>,
}

impl<K, V> Rest<'_, K, V> {
    fn drop_all(&mut self) {
        for id in self.ids.by_ref() {
            // SAFETY: a slot in the index or in limbo holds an entry; each id is in one of them once, and no reader is left.
            let entry: Entry<K, V> = unsafe { self.slab.slot(id).empty() };
            drop(entry);
        }
    }
}

impl<K, V> Drop for Rest<'_, K, V> {
    fn drop(&mut self) {
        self.drop_all();
    }
}
