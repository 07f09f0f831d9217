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
//! count back only after that entry is gone. A grown index is a new one. A range that is far fuller than the others has an
//! [`annex`] for what it has no room for.
//!
//! | field | written | read |
//! |---|---|---|
//! | `ids[i]` | before the tag, Release | Acquire: the entry behind the id is initialised |
//! | `head`, `tail` | whole words, by the one writer, Release | Acquire |
//! | `annexes[i]` | when the annex is filled, by the one writer, Release | Acquire: what is in it |

mod annex;
mod lanes;

pub(crate) use annex::Outgrown;

use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
use annex::Annex;
use std::ptr::NonNull;

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

/// A place in the index. Buckets of a range's annex are numbered on behind those of all ranges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    bucket: usize,
    lane: usize,
}

/// The lane that an id is filed in, for whoever puts another one there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lane(NonNull<AtomicU32>);

// SAFETY: what it points to is an atomic.
unsafe impl Send for Lane {}

impl Lane {
    /// Puts another id of the same fragment in the place. For the one writer.
    ///
    /// # Safety
    /// No id has come to the range, or left it, since this place was found.
    #[inline(always)]
    pub(crate) unsafe fn replace(self, id: u32) {
        // Release: pairs with the Acquire in `find`.
        // SAFETY: the bucket is still there, by the contract: a table or an annex that is replaced changes the range.
        unsafe { self.0.as_ref() }.store(id, Ordering::Release);
    }
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
    /// For each range, null as long as it needs none. An annex has none.
    annexes: Box<[AtomicPtr<Annex>]>,
}

impl Index {
    /// An empty index of `ranges` ranges, a power of two, with `range` buckets each.
    pub(crate) fn new(ranges: usize, range: usize) -> Self {
        let mut index = Self::without_annexes(ranges, range);
        index.annexes = (0..ranges)
            .map(|_| AtomicPtr::new(std::ptr::null_mut()))
            .collect();
        index
    }

    fn without_annexes(ranges: usize, range: usize) -> Self {
        debug_assert!(ranges.is_power_of_two() && range > 0);
        Self {
            buckets: (0..ranges * range).map(|_| Bucket::new()).collect(),
            range,
            range_shift: Fragment::BITS - ranges.trailing_zeros(),
            annexes: Box::default(),
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

    #[inline(always)]
    fn range_of(&self, fragment: Fragment) -> usize {
        (fragment.0 >> self.range_shift) as usize
    }

    /// The buckets of its range in which an entry may be, nearest first, each once.
    #[inline(always)]
    fn chain(&self, fragment: Fragment) -> impl Iterator<Item = usize> {
        let home = self.home(fragment);
        let start = self.range_of(fragment) * self.range;
        (home..start + self.range).chain(start..home)
    }

    /// Starts to bring the bucket of a key into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, fragment: Fragment) {
        crate::arch::prefetch::read(&raw const self.buckets[self.home(fragment)]);
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

    /// As [`Index::find`], for an id that is to be replaced.
    #[inline(always)]
    pub(crate) fn find_lane(
        &self,
        fragment: Fragment,
        accept: impl Fn(u32) -> bool + Copy,
    ) -> Option<(Lane, u32)> {
        let bucket = self.bucket(self.home(fragment));
        let (mut found, overflows) = bucket.lanes(fragment.tag());
        while found != 0 {
            let lane = found.trailing_zeros() as usize;
            // SAFETY: `lanes::equal` sets bits below 12 only.
            let cell = unsafe { bucket.ids.get_unchecked(lane) };
            // Acquire: as in `find_in`.
            let id = cell.load(Ordering::Acquire);
            if accept(id) {
                return Some((Lane(NonNull::from(cell)), id));
            }
            found &= found - 1;
        }
        if overflows {
            return self.find_lane_further(fragment, accept);
        }
        None
    }

    #[cold]
    #[inline(never)]
    fn find_lane_further(
        &self,
        fragment: Fragment,
        accept: impl Fn(u32) -> bool + Copy,
    ) -> Option<(Lane, u32)> {
        let (place, id) = self.find_further(fragment, |id| accept(id).then_some(id))?;
        let bucket = match self.buckets.get(place.bucket) {
            Some(bucket) => bucket,
            None => {
                let annex = self.annex(self.range_of(fragment))?;
                // Another one than that which the id was found in, if it has been replaced meanwhile: then the place is out of date,
                // as the version tells, but may be beyond the end.
                annex.index.buckets.get(place.bucket - self.buckets.len())?
            }
        };
        Some((Lane(NonNull::from(&bucket.ids[place.lane])), id))
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

    /// The other part: looks into the other buckets, and into the annex.
    #[cold]
    pub(crate) fn find_further<R>(
        &self,
        fragment: Fragment,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Option<(Place, R)> {
        for bucket in self.chain(fragment).skip(1) {
            match self.find_in(bucket, fragment, accept) {
                Probe::Found(lane, found) => return Some((Place { bucket, lane }, found)),
                Probe::Absent => break,
                Probe::Further => {}
            }
        }
        let annex = self.annex(self.range_of(fragment))?;
        let (Place { bucket, lane }, found) =
            annex.index.find(Annex::fragment(fragment), accept)?;
        let bucket = bucket + self.buckets.len();
        Some((Place { bucket, lane }, found))
    }

    #[inline(always)]
    fn find_in<R>(
        &self,
        bucket: usize,
        fragment: Fragment,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Probe<R> {
        let it = self.bucket(bucket);
        let (mut found, overflows) = it.lanes(fragment.tag());
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
        if overflows {
            Probe::Further
        } else {
            Probe::Absent
        }
    }

    #[inline(always)]
    fn bucket(&self, bucket: usize) -> &Bucket {
        // SAFETY: `home` scales a fragment, which is below 2^26, to below the number of buckets, and `chain` stays there.
        unsafe { self.buckets.get_unchecked(bucket) }
    }

    /// Files an id, which must not be in the index, and whose entry is initialised. For the one writer.
    ///
    /// # Panics
    /// If the range is full, and its annex too.
    #[inline(always)]
    pub(crate) fn insert(&self, fragment: Fragment, id: u32) {
        if !self.buckets[self.home(fragment)].insert(fragment, id) {
            self.insert_further(fragment, id);
        }
    }

    #[cold]
    fn insert_further(&self, fragment: Fragment, id: u32) {
        if let Some(annex) = self
            .annex(self.range_of(fragment))
            .filter(|it| !it.is_full())
        {
            self.buckets[self.home(fragment)].add_overflow(OVERFLOW);
            return annex.insert(fragment, id);
        }
        for bucket in self.chain(fragment) {
            if self.buckets[bucket].insert(fragment, id) {
                return;
            }
            self.buckets[bucket].add_overflow(OVERFLOW);
        }
        panic!("a range of {} buckets is full", self.range);
    }

    /// Takes an id out. For the one writer. Says whether the range's annex is too large now: see [`Index::refit`].
    ///
    /// # Panics
    /// If the id is not filed under the fragment.
    #[inline(always)]
    pub(crate) fn remove(&self, fragment: Fragment, id: u32) -> bool {
        let (place, ()) = self
            .find(fragment, move |found| (found == id).then_some(()))
            .expect("only a filed id is removed");
        self.remove_at(fragment, place)
    }

    #[inline(always)]
    fn remove_at(&self, fragment: Fragment, place: Place) -> bool {
        if place.bucket == self.home(fragment) {
            self.buckets[place.bucket].set_tag(place.lane, 0);
            return false;
        }
        self.remove_further(fragment, place)
    }

    #[cold]
    fn remove_further(&self, fragment: Fragment, place: Place) -> bool {
        if let Some(bucket) = self.buckets.get(place.bucket) {
            bucket.set_tag(place.lane, 0);
            self.forget_overflow(fragment, place.bucket);
            return false;
        }
        let annex = self
            .annex(self.range_of(fragment))
            .expect("places are in the index");
        let bucket = place.bucket - self.buckets.len();
        annex.remove_at(fragment, Place { bucket, ..place });
        self.buckets[self.home(fragment)].add_overflow(OVERFLOW.wrapping_neg());
        annex.is_too_large(self.range)
    }

    /// Takes an entry in `bucket` out of the counts of those it overflowed from.
    fn forget_overflow(&self, fragment: Fragment, bucket: usize) {
        for passed in self.chain(fragment).take_while(|&it| it != bucket) {
            self.buckets[passed].add_overflow(OVERFLOW.wrapping_neg());
        }
    }

    /// The range's annex, if it has one. The reference holds as long as whoever asks is a reader that the replaced annex waits
    /// for, or the one writer, who replaces it.
    fn annex(&self, range: usize) -> Option<&Annex> {
        // Acquire: pairs with the Release in `put_annex`; the annex is filled before we see it.
        let annex = self.annexes.get(range)?.load(Ordering::Acquire);
        // SAFETY: null, or made by `Box::into_raw` and freed after a grace period from when it was replaced, by the contract of
        // `Outgrown`, or with the index.
        unsafe { annex.as_ref() }
    }

    fn put_annex(&self, range: usize, annex: Option<Annex>) -> Option<Outgrown> {
        let next = annex.map_or(std::ptr::null_mut(), |it| Box::into_raw(Box::new(it)));
        // Release: pairs with the Acquire in `annex`.
        let old = self.annexes[range].swap(next, Ordering::Release);
        (!old.is_null()).then(|| Outgrown(old))
    }

    /// Whether a range has an annex with room for one more. For the one writer.
    pub(crate) fn has_room_in_annex(&self, range: usize) -> bool {
        self.annex(range).is_some_and(|it| !it.is_full())
    }

    /// Gives a range an annex for so many keys. For an index that no reader knows yet.
    pub(crate) fn reserve(&self, range: usize, keys: usize) {
        drop(self.put_annex(range, Some(Annex::new(keys, self.range))));
    }

    /// Gives a range an annex with room for twice what is in the one it has, in whose place that is; the old one is returned.
    /// For the one writer; places in the annex hold no longer.
    pub(crate) fn refit(
        &self,
        range: usize,
        fragment_of: impl Fn(u32) -> Fragment,
    ) -> Option<Outgrown> {
        let old = self.annex(range);
        let next = Annex::new(old.map_or(0, Annex::len) * 2 + 1, self.range);
        for id in old.iter().flat_map(|it| ids_in(it.index.buckets_of(0))) {
            next.insert(fragment_of(id), id);
        }
        self.put_annex(range, Some(next))
    }

    /// All ids of a range, in no particular order. Beside a writer: every id that is in the index throughout, once.
    pub(crate) fn ids(&self, range: usize) -> impl Iterator<Item = u32> {
        let annex = self.annex(range).map(|it| it.index.buckets_of(0));
        ids_in(self.buckets_of(range)).chain(annex.into_iter().flat_map(ids_in))
    }

    /// Takes all ids of a range out, and its annex. For its one writer.
    pub(crate) fn clear(&self, range: usize) -> Option<Outgrown> {
        for bucket in self.buckets_of(range) {
            // Release, both: pair with the Acquire in `find`.
            bucket.head.store(0, Ordering::Release);
            bucket.tail.store(0, Ordering::Release);
        }
        self.put_annex(range, None)
    }

    fn buckets_of(&self, range: usize) -> &[Bucket] {
        &self.buckets[range * self.range..][..self.range]
    }

    /// How many buckets there are in a range's annex.
    #[cfg(test)]
    pub(crate) fn annex_buckets(&self, range: usize) -> usize {
        self.annex(range).map_or(0, |it| it.index.range())
    }

    /// How many ids are filed in a range's annex.
    #[cfg(test)]
    pub(crate) fn annex_len(&self, range: usize) -> usize {
        self.annex(range).map_or(0, Annex::len)
    }

    /// Checks tags, chains and overflow counts of a range against the fragments of its entries.
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, range: usize, fragment_of: impl Fn(u32) -> Fragment) {
        let start = range * self.range;
        let mut overflows = self.overflows(range, &fragment_of);
        if let Some(annex) = self.annex(range) {
            let ids: Vec<u32> = annex.index.ids(0).collect();
            assert_eq!(ids.len(), annex.len());
            for &id in &ids {
                overflows[self.home(fragment_of(id)) - start] += 1;
            }
            let in_annex = |id| Annex::fragment(fragment_of(id));
            let expected = annex.index.overflows(0, &in_annex);
            annex.index.validate_counts(0, &expected);
        }
        self.validate_counts(range, &overflows);
    }

    /// How often entries of a range passed each of its buckets.
    #[cfg(any(test, fuzzing))]
    fn overflows(&self, range: usize, fragment_of: &dyn Fn(u32) -> Fragment) -> Vec<u64> {
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
        overflows
    }

    #[cfg(any(test, fuzzing))]
    fn validate_counts(&self, range: usize, overflows: &[u64]) {
        for (bucket, &expected) in self.buckets_of(range).iter().zip(overflows) {
            assert_eq!(bucket.tail.load(Ordering::Relaxed) >> 32, expected);
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        for range in 0..self.annexes.len() {
            drop(self.put_annex(range, None));
        }
    }
}

/// The ids in some buckets.
fn ids_in(buckets: &[Bucket]) -> impl Iterator<Item = u32> {
    buckets.iter().flat_map(|bucket| {
        (0..LANES)
            .filter(|&lane| bucket.tag(lane) != 0)
            // Acquire: as in `find`.
            .map(|lane| bucket.ids[lane].load(Ordering::Acquire))
    })
}

impl Bucket {
    fn new() -> Self {
        Self {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            ids: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// A bit for each lane with this tag, and whether anything has overflowed.
    #[inline(always)]
    fn lanes(&self, tag: u8) -> (u32, bool) {
        // Acquire, both: pair with the Release in `set_tag` and `add_overflow`. The overflow count is read before the tags of
        // the next bucket, so an entry there is seen if its insertion was complete before the call.
        let head = self.head.load(Ordering::Acquire);
        let tail = self.tail.load(Ordering::Acquire);
        (lanes::equal(head, tail, tag), tail >= OVERFLOW)
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
