//! The hash index that readers probe without a lock.
//!
//! A bucket is one cache line: twelve one-byte tags, twelve entry ids, and a count of the entries that belong here or
//! before and were pushed on to a later bucket because this one was full (as in Meta's F14). A probe compares all tags of
//! a bucket at once, looks at the ids behind equal ones, and goes on to the next bucket only while that count is not zero.
//! So there are no tombstones: removing clears a tag.
//!
//! One index serves all shards, so that a read finds its bucket from the hash alone; each shard has a *range* of buckets of
//! its own, which the fragment's highest bits select, and entries that overflow stay in it. One writer at a time (the
//! shard's lock) changes a range, readers run beside it. An entry never moves while it is in the index, so a reader cannot
//! miss one that was there throughout: the writer counts an overflow before it publishes the entry behind it, and takes the
//! count back only after that entry is gone. A grown index is a new one.
//!
//! | field | written | read |
//! |---|---|---|
//! | `ids[i]` | before the tag, Release | Acquire: the entry behind the id is initialised |
//! | `head`, `tail` | whole words, by the one writer, Release | Acquire |

mod lanes;

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Entries to a bucket.
pub(crate) const LANES: usize = 12;
/// Lanes whose tags are in `Bucket::head`; the others' are in the low half of `Bucket::tail`.
const HEAD_LANES: usize = 8;
/// One overflow, in `Bucket::tail`.
const OVERFLOW: u64 = 1 << 32;
/// The part of a key's hash that an index works with, [`Fragment::BITS`] bits: the bucket comes from its high bits, the
/// tag from its low ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment(u32);

impl Fragment {
    pub(crate) const BITS: u32 = 26;

    /// The low bits of `bits`.
    #[inline(always)]
    pub(crate) fn new(bits: u64) -> Self {
        Self(bits as u32 & ((1 << Self::BITS) - 1))
    }

    #[inline(always)]
    pub(crate) fn get(self) -> u32 {
        self.0
    }

    /// The tag. Not 0, which marks a free lane.
    #[inline(always)]
    fn tag(self) -> u8 {
        (self.0 as u8).max(1)
    }
}

/// A place in the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    bucket: usize,
    lane: usize,
}

/// What is looked for may be in a bucket further on.
#[derive(Debug)]
pub(crate) struct Further;

/// What one bucket says about a key.
enum Probe<R> {
    /// The id in this lane was accepted.
    Found(usize, R),
    Absent,
    /// It may be in the next bucket.
    Further,
}

#[derive(Debug)]
#[repr(align(64))]
struct Bucket {
    /// Tags of lanes 0 to 7.
    head: AtomicU64,
    /// Tags of lanes 8 to 11; above them the number of overflows.
    tail: AtomicU64,
    ids: [AtomicU32; LANES],
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Index {
    buckets: Box<[Bucket]>,
    /// Buckets to a range.
    range: usize,
    /// How many low bits of a fragment do not select the range.
    range_shift: u32,
}

impl Index {
    /// An empty index of `ranges` ranges, a power of two, with `range` buckets each.
    pub(crate) fn new(ranges: usize, range: usize) -> Self {
        debug_assert!(ranges.is_power_of_two() && range > 0);
        Self {
            buckets: (0..ranges * range).map(|_| Bucket::new()).collect(),
            range,
            range_shift: Fragment::BITS - ranges.trailing_zeros(),
        }
    }

    /// Buckets to a range.
    pub(crate) fn range(&self) -> usize {
        self.range
    }

    #[inline(always)]
    fn home(&self, fragment: Fragment) -> usize {
        ((u64::from(fragment.0) * self.buckets.len() as u64) >> Fragment::BITS) as usize
    }

    /// The buckets in which an entry may be, nearest first, each once.
    #[inline(always)]
    fn chain(&self, fragment: Fragment) -> impl Iterator<Item = usize> {
        let home = self.home(fragment);
        let start = (fragment.0 >> self.range_shift) as usize * self.range;
        (home..start + self.range).chain(start..home)
    }

    /// Starts to bring the bucket of a key into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, fragment: Fragment) {
        crate::core::prefetch::read(&raw const self.buckets[self.home(fragment)]);
    }

    /// What `accept` makes of the first id filed under `fragment`'s tag that it accepts. Takes no lock. An id that would be
    /// accepted and was in the index throughout the call is found.
    #[inline(always)]
    pub(crate) fn find<R>(
        &self,
        fragment: Fragment,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Option<(Place, R)> {
        self.find_near(fragment, accept)
            .unwrap_or_else(|Further| self.find_further(fragment, accept))
    }

    /// The part of [`Index::find`] that mostly suffices: looks into the nearest bucket alone.
    #[inline(always)]
    pub(crate) fn find_near<R>(
        &self,
        fragment: Fragment,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Result<Option<(Place, R)>, Further> {
        let bucket = self.home(fragment);
        match self.find_in(bucket, fragment, accept) {
            Probe::Found(lane, found) => Ok(Some((Place { bucket, lane }, found))),
            Probe::Absent => Ok(None),
            Probe::Further => Err(Further),
        }
    }

    /// The other part: looks into the other buckets.
    #[cold]
    pub(crate) fn find_further<R>(
        &self,
        fragment: Fragment,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Option<(Place, R)> {
        for bucket in self.chain(fragment).skip(1) {
            match self.find_in(bucket, fragment, accept) {
                Probe::Found(lane, found) => return Some((Place { bucket, lane }, found)),
                Probe::Absent => return None,
                Probe::Further => {}
            }
        }
        None
    }

    #[inline(always)]
    fn find_in<R>(
        &self,
        bucket: usize,
        fragment: Fragment,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Probe<R> {
        // SAFETY: `home` scales a fragment, which is below 2^26, to below the number of buckets, and `chain` stays there.
        let it = unsafe { self.buckets.get_unchecked(bucket) };
        // Acquire, both: pair with the Release in `set_tag` and `add_overflow`. The overflow count is read before the tags of
        // the next bucket, so an entry there is seen if its insertion was complete before the call.
        let head = it.head.load(Ordering::Acquire);
        let tail = it.tail.load(Ordering::Acquire);
        let mut found = lanes::equal(head, tail, fragment.tag());
        while found != 0 {
            let lane = found.trailing_zeros() as usize;
            // Acquire: pairs with the Release in `insert` and `replace`; the entry behind the id is initialised. The lane may
            // have been given to another entry since the tag was read: `accept` compares keys.
            // SAFETY: `lanes::equal` sets bits below 12 only.
            let id = unsafe { it.ids.get_unchecked(lane) }.load(Ordering::Acquire);
            if let Some(accepted) = accept(id) {
                return Probe::Found(lane, accepted);
            }
            found &= found - 1;
        }
        if tail < OVERFLOW {
            Probe::Absent
        } else {
            Probe::Further
        }
    }

    /// Files an id, which must not be in the index, and whose entry is initialised. For the one writer.
    ///
    /// # Panics
    /// If the range is full.
    #[inline(always)]
    pub(crate) fn insert(&self, fragment: Fragment, id: u32) {
        if !self.buckets[self.home(fragment)].insert(fragment, id) {
            self.insert_further(fragment, id);
        }
    }

    #[cold]
    fn insert_further(&self, fragment: Fragment, id: u32) {
        for bucket in self.chain(fragment) {
            if self.buckets[bucket].insert(fragment, id) {
                return;
            }
            self.buckets[bucket].add_overflow(OVERFLOW);
        }
        panic!("a range of {} buckets is full", self.range);
    }

    /// Puts another id of the same fragment in an id's place. For the one writer.
    pub(crate) fn replace(&self, place: Place, id: u32) {
        // Release: pairs with the Acquire in `find`.
        self.buckets[place.bucket].ids[place.lane].store(id, Ordering::Release);
    }

    /// Takes an id out. For the one writer.
    ///
    /// # Panics
    /// If the id is not filed under the fragment.
    #[inline(always)]
    pub(crate) fn remove(&self, fragment: Fragment, id: u32) {
        let (place, ()) = self
            .find(fragment, move |found| (found == id).then_some(()))
            .expect("only a filed id is removed");
        self.buckets[place.bucket].set_tag(place.lane, 0);
        if place.bucket != self.home(fragment) {
            self.forget_overflow(fragment, place.bucket);
        }
    }

    /// Takes an entry in `bucket` out of the counts of those it overflowed from.
    #[cold]
    fn forget_overflow(&self, fragment: Fragment, bucket: usize) {
        for passed in self.chain(fragment).take_while(|&it| it != bucket) {
            self.buckets[passed].add_overflow(OVERFLOW.wrapping_neg());
        }
    }

    /// All ids of a range, in no particular order. Beside a writer: every id that is in the index throughout, once.
    pub(crate) fn ids(&self, range: usize) -> impl Iterator<Item = u32> {
        self.buckets_of(range).iter().flat_map(|bucket| {
            (0..LANES)
                .filter(|&lane| bucket.tag(lane) != 0)
                // Acquire: as in `find`.
                .map(|lane| bucket.ids[lane].load(Ordering::Acquire))
        })
    }

    /// Takes all ids of a range out. For its one writer.
    pub(crate) fn clear(&self, range: usize) {
        for bucket in self.buckets_of(range) {
            // Release, both: pair with the Acquire in `find`.
            bucket.head.store(0, Ordering::Release);
            bucket.tail.store(0, Ordering::Release);
        }
    }

    fn buckets_of(&self, range: usize) -> &[Bucket] {
        &self.buckets[range * self.range..][..self.range]
    }

    /// Checks tags, chains and overflow counts of a range against the fragments of its entries.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, range: usize, fragment_of: impl Fn(u32) -> Fragment) {
        let start = range * self.range;
        let mut overflows = vec![0_u64; self.range];
        for (b, bucket) in self.buckets_of(range).iter().enumerate() {
            for lane in (0..LANES).filter(|&lane| bucket.tag(lane) != 0) {
                let id = bucket.ids[lane].load(Ordering::Relaxed);
                let fragment = fragment_of(id);
                assert_eq!(bucket.tag(lane), fragment.tag(), "tag of {id}");
                for passed in self.chain(fragment).take_while(|&it| it != start + b) {
                    overflows[passed - start] += 1;
                }
            }
        }
        for (bucket, expected) in self.buckets_of(range).iter().zip(overflows) {
            assert_eq!(bucket.tail.load(Ordering::Relaxed) >> 32, expected);
        }
    }
}

impl Bucket {
    fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            ids: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// Files an id, if there is a free lane.
    #[inline(always)]
    fn insert(&self, fragment: Fragment, id: u32) -> bool {
        let Some(lane) = self.free_lane() else {
            return false;
        };
        // Release: pairs with the Acquire in `find`; the entry was initialised before.
        self.ids[lane].store(id, Ordering::Release);
        self.set_tag(lane, fragment.tag());
        true
    }

    #[inline(always)]
    fn free_lane(&self) -> Option<usize> {
        // Relaxed, here and in the next two: only the one writer, us, changes these words.
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        let free = lanes::equal(head, tail, 0);
        (free != 0).then(|| free.trailing_zeros() as usize)
    }

    #[inline(always)]
    fn set_tag(&self, lane: usize, tag: u8) {
        let (word, lane) = if lane < HEAD_LANES {
            (&self.head, lane)
        } else {
            (&self.tail, lane - HEAD_LANES)
        };
        let shift = lane * 8;
        let cleared = word.load(Ordering::Relaxed) & !(0xff << shift);
        // Release: pairs with the Acquire in `find`; the id was stored before.
        word.store(cleared | u64::from(tag) << shift, Ordering::Release);
    }

    #[cold]
    fn add_overflow(&self, by: u64) {
        let tail = self.tail.load(Ordering::Relaxed).wrapping_add(by);
        // Release: pairs with the Acquire in `find`.
        self.tail.store(tail, Ordering::Release);
    }

    fn tag(&self, lane: usize) -> u8 {
        let (word, lane) = if lane < HEAD_LANES {
            (&self.head, lane)
        } else {
            (&self.tail, lane - HEAD_LANES)
        };
        // Acquire: as in `find`.
        (word.load(Ordering::Acquire) >> (lane * 8)) as u8
    }
}
