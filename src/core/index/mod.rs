//! The hash index that readers probe without a lock.
//!
//! A bucket is one cache line: twelve one-byte tags, twelve entry ids, and a count of the entries that belong here or
//! before and were pushed on to a later bucket because this one was full (as in Meta's F14). A probe compares all tags of
//! a bucket at once, looks at the ids behind equal ones, and goes on to the next bucket only while that count is not zero.
//! So there are no tombstones: removing clears a tag.
//!
//! One index serves all shards, so that a read finds its bucket from the hash alone; each shard has a *range* of buckets of
//! its own, which the hash's highest bits select, and entries that overflow stay in it. One writer at a time (the
//! shard's lock) changes a range, readers run beside it. An entry never moves while it is in the index, so a reader cannot
//! miss one that was there throughout: the writer counts an overflow before it publishes the entry behind it, and takes the
//! count back only after that entry is gone.
//!
//! An index has its full size from the start, and never grows: of memory that is given out by pages when it is touched, that
//! is addresses. A range that is far fuller than the others has an [`annex`] for what it has no room for.
//!
//! Readers tell keys apart by their tags. Writers that take an entry out, knowing of its hash no more than the fragment, look
//! for its id.
//!
//! | field | written | read |
//! |---|---|---|
//! | `ids[i]` | before the tag, Release | Acquire: the entry behind the id is initialised |
//! | `head`, `tail` | whole words, by the one writer, Release | Acquire |
//! | `annexes[i]` | when the annex is filled, by the one writer, Release | Acquire: what is in it |

mod annex;
mod bucket;
mod lanes;
mod place;
mod route;
#[cfg(all(test, not(nori_loom)))]
mod tests;
#[cfg(any(test, fuzzing))]
mod validate;

pub(crate) use annex::Outgrown;
pub(crate) use bucket::LANES;
pub(crate) use place::{Further, Lane, Place};
pub(crate) use route::{Fragment, Route};

use crate::sync::{AtomicPtr, Ordering};
use annex::Annex;
use bucket::{Bucket, Buckets, OVERFLOW};
use place::Probe;
use std::alloc::{Layout, handle_alloc_error};

/// In how many buckets of its range an entry may be: further on than that there is nothing but the annex. So an overfull range
/// costs those who look for what is not near no more than this.
const CHAIN: u32 = 8;

/// See the module. What a hit needs comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Index {
    buckets: Buckets,
    /// The bits of a spread hash that choose the bucket: those of the range and of the fragment.
    home_bits: u64,
    /// How many high bits of it choose the range.
    range_bits: u32,
    /// The greatest number of a range.
    last_range: u32,
    rest: Box<Rest>,
}

/// What hits do not need.
#[derive(Debug)]
struct Rest {
    /// Buckets to a range.
    range: usize,
    /// How many buckets an entry may be in, its nearest included.
    chain: u32,
    /// For each range, null as long as it needs none. An annex has none.
    annexes: Box<[AtomicPtr<Annex>]>,
}

impl Index {
    /// An empty index of `ranges` ranges, a power of two, with `range` buckets each; fewer if there is no memory for so many, which
    /// is what annexes are for.
    pub(crate) fn new(ranges: usize, mut range: usize) -> Self {
        let buckets = loop {
            match Buckets::new(ranges * range) {
                Some(buckets) => break buckets,
                None if range > 1 => range /= 2,
                None => handle_alloc_error(Layout::new::<Bucket>()),
            }
        };
        let annexes = (0..ranges).map(|_| AtomicPtr::new(std::ptr::null_mut()));
        Self::of(buckets, ranges, CHAIN, annexes.collect())
    }

    /// One of a single range, for an annex.
    fn without_annexes(range: usize) -> Self {
        let buckets = Buckets::new(range);
        let buckets = buckets.unwrap_or_else(|| handle_alloc_error(Layout::new::<Bucket>()));
        Self::of(buckets, 1, u32::MAX, Box::default())
    }

    fn of(buckets: Buckets, ranges: usize, chain: u32, annexes: Box<[AtomicPtr<Annex>]>) -> Self {
        let range_bits = ranges.trailing_zeros();
        let range = buckets.len() >> range_bits;
        debug_assert!(ranges.is_power_of_two() && range_bits <= route::MAX_RANGE_BITS);
        debug_assert!((1..=1 << Fragment::BITS).contains(&range));
        Self {
            buckets,
            home_bits: u64::MAX << (u64::BITS - Fragment::BITS - range_bits),
            range_bits,
            last_range: ranges as u32 - 1,
            rest: Box::new(Rest {
                range,
                chain,
                annexes,
            }),
        }
    }

    /// Buckets to a range.
    pub(crate) fn range(&self) -> usize {
        self.rest.range
    }

    /// The range that a key is filed in.
    #[inline(always)]
    pub(crate) fn range_of(&self, route: Route) -> usize {
        let turned = route.spread().rotate_left(self.range_bits);
        turned as usize & self.last_range as usize
    }

    /// What is kept with a key's entry.
    #[inline(always)]
    pub(crate) fn fragment_of(&self, route: Route) -> Fragment {
        route.fragment(self.range_bits)
    }

    /// Of an entry whose key nobody has hashed: good for its id, which is found by the fragment, and not for its key.
    pub(crate) fn route_of(&self, range: usize, fragment: Fragment) -> Route {
        Route::assemble(range, self.range_bits, fragment, 0)
    }

    #[inline(always)]
    fn home(&self, route: Route) -> usize {
        // The same number as below: the bits beside those of range and fragment would now and then make it one more.
        let bits = route.spread() & self.home_bits;
        ((u128::from(bits) * self.buckets.len() as u128) >> u64::BITS) as usize
    }

    /// The home of an entry of which only the fragment is known.
    #[inline(always)]
    fn home_in(&self, range: usize, fragment: Fragment) -> usize {
        range * self.rest.range
            + ((u64::from(fragment.get()) * self.rest.range as u64) >> Fragment::BITS) as usize
    }

    /// The buckets of a range in which an entry with this home may be, nearest first, each once.
    #[inline(always)]
    fn chain(&self, range: usize, home: usize) -> impl Iterator<Item = usize> {
        let start = range * self.rest.range;
        let all = (home..start + self.rest.range).chain(start..home);
        all.take(self.rest.chain as usize)
    }

    /// Starts to bring the bucket of a key into the cache.
    #[inline(always)]
    pub(crate) fn prefetch(&self, route: Route) {
        crate::arch::prefetch::read(&raw const self.buckets[self.home(route)]);
    }

    /// What `accept` makes of the first id filed under the key's tag that it accepts. Takes no lock. An id that would be
    /// accepted and was in the index throughout the call is found.
    #[inline(always)]
    pub(crate) fn find<R>(
        &self,
        route: Route,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Option<(Place, R)> {
        self.find_near(route, accept)
            .unwrap_or_else(|Further| self.find_further(route, accept))
    }

    /// As [`Index::find`], for an id that is to be replaced.
    #[inline(always)]
    pub(crate) fn find_lane(
        &self,
        route: Route,
        accept: impl Fn(u32) -> bool + Copy,
    ) -> Option<(Lane, u32)> {
        let it = self.bucket(self.home(route));
        // Acquire, both: as in `find_in`, and so what follows.
        let head = it.head.load(Ordering::Acquire);
        let tail = it.tail.load(Ordering::Acquire);
        let mut found = lanes::equal(head, tail, route.tag());
        while found != 0 {
            // SAFETY: `lanes::equal` sets bits below 12 only.
            let lane = unsafe { it.ids.get_unchecked(found.trailing_zeros() as usize) };
            // Acquire: as in `find_in`.
            let id = lane.load(Ordering::Acquire);
            if accept(id) {
                return Some((Lane::new(lane), id));
            }
            found &= found - 1;
        }
        // Acquire: as in `find_in`.
        if it.tail.load(Ordering::Acquire) < OVERFLOW {
            return None;
        }
        self.find_lane_further(route, accept)
    }

    #[cold]
    #[inline(never)]
    fn find_lane_further(
        &self,
        route: Route,
        accept: impl Fn(u32) -> bool + Copy,
    ) -> Option<(Lane, u32)> {
        let (place, id) = self.find_further(route, |id| accept(id).then_some(id))?;
        Some((self.lane_at(self.range_of(route), place)?, id))
    }

    /// The lane of an id in a range, if it is filed there. For the one writer.
    pub(crate) fn lane_of(&self, range: usize, fragment: Fragment, id: u32) -> Option<Lane> {
        self.lane_at(range, self.place_of(range, fragment, id)?)
    }

    /// None of a place in an annex that has been replaced.
    fn lane_at(&self, range: usize, place: Place) -> Option<Lane> {
        let bucket = match self.buckets.get(place.bucket) {
            Some(bucket) => bucket,
            None => {
                let annex = self.annex(range)?;
                annex.index.buckets.get(place.bucket - self.buckets.len())?
            }
        };
        Some(Lane::new(&bucket.ids[place.lane]))
    }

    #[inline(always)]
    fn bucket(&self, bucket: usize) -> &Bucket {
        // SAFETY: `home` scales a number of 64 bits, as a fraction, to below the number of buckets, and `chain` stays there.
        unsafe { self.buckets.get_unchecked(bucket) }
    }

    /// The part of [`Index::find`] that mostly suffices: looks into the nearest bucket alone.
    #[inline(always)]
    pub(crate) fn find_near<R>(
        &self,
        route: Route,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Result<Option<(Place, R)>, Further> {
        let bucket = self.home(route);
        match self.find_in(bucket, route, accept) {
            Probe::Found(lane, found) => Ok(Some((Place { bucket, lane }, found))),
            Probe::Absent => Ok(None),
            Probe::Further => Err(Further),
        }
    }

    /// The other part: looks into the other buckets, and into the annex.
    #[cold]
    pub(crate) fn find_further<R>(
        &self,
        route: Route,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Option<(Place, R)> {
        let range = self.range_of(route);
        for bucket in self.chain(range, self.home(route)).skip(1) {
            match self.find_in(bucket, route, accept) {
                Probe::Found(lane, found) => return Some((Place { bucket, lane }, found)),
                Probe::Absent => break,
                Probe::Further => {}
            }
        }
        let annex = self.annex(range)?;
        let (Place { bucket, lane }, found) =
            annex.find(self.fragment_of(route), route.tag(), accept)?;
        let bucket = bucket + self.buckets.len();
        Some((Place { bucket, lane }, found))
    }

    #[inline(always)]
    fn find_in<R>(
        &self,
        bucket: usize,
        route: Route,
        accept: impl Fn(u32) -> Option<R> + Copy,
    ) -> Probe<R> {
        let it = self.bucket(bucket);
        // Acquire, both: pair with the Release in `set_tag` and `add_overflow`. The overflow count is read before the tags of
        // the next bucket, so an entry there is seen if its insertion was complete before the call.
        let head = it.head.load(Ordering::Acquire);
        let tail = it.tail.load(Ordering::Acquire);
        let mut found = lanes::equal(head, tail, route.tag());
        if found == 0 {
            return Probe::absent(tail);
        }
        loop {
            let lane = found.trailing_zeros() as usize;
            // Acquire: pairs with the Release in `insert` and `replace`; the entry behind the id is initialised. The lane may
            // have been given to another entry since the tag was read: `accept` compares keys.
            // SAFETY: `lanes::equal` sets bits below 12 only.
            let id = unsafe { it.ids.get_unchecked(lane) }.load(Ordering::Acquire);
            if let Some(accepted) = accept(id) {
                return Probe::Found(lane, accepted);
            }
            found &= found - 1;
            if found == 0 {
                // Acquire: as above. An entry further on that has gone since then is absent; none comes from there to here.
                return Probe::absent(it.tail.load(Ordering::Acquire));
            }
        }
    }

    /// Files an id, which must not be in the index, and whose entry is initialised. For the one writer. False if there is no
    /// room for it: the range needs an annex, or a larger one.
    #[inline(always)]
    #[must_use]
    pub(crate) fn insert(&self, route: Route, id: u32) -> bool {
        self.buckets[self.home(route)].insert(route.tag(), id) || self.insert_further(route, id)
    }

    #[cold]
    fn insert_further(&self, route: Route, id: u32) -> bool {
        let (range, home) = (self.range_of(route), self.home(route));
        let is_free = |&bucket: &usize| self.buckets[bucket].has_room();
        if let Some(free) = self.chain(range, home).find(is_free) {
            // Before the entry is there, or a reader would not look for it.
            for passed in self.chain(range, home).take_while(|&it| it != free) {
                self.buckets[passed].add_overflow(OVERFLOW);
            }
            return self.buckets[free].insert(route.tag(), id);
        }
        let Some(annex) = self.annex(range).filter(|it| !it.is_full()) else {
            return false;
        };
        self.buckets[home].add_overflow(OVERFLOW);
        annex.insert(self.fragment_of(route), route.tag(), id);
        true
    }

    /// Takes an id out of a range. For the one writer. Says whether the range's annex is too large now: see [`Index::refit`].
    ///
    /// # Panics
    /// If the id is not filed under the fragment.
    #[inline(always)]
    pub(crate) fn remove(&self, range: usize, fragment: Fragment, id: u32) -> bool {
        let home = self.home_in(range, fragment);
        let bucket = &self.buckets[home];
        match bucket.lane_of(id) {
            Some(lane) => {
                bucket.set_tag(lane, 0);
                false
            }
            None => self.remove_further(range, home, fragment, id),
        }
    }

    #[cold]
    fn remove_further(&self, range: usize, home: usize, fragment: Fragment, id: u32) -> bool {
        let found = self.look_further(range, home, fragment, id);
        let (Place { bucket, lane }, passed) = found.expect("only a filed id is removed");
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.set_tag(lane, 0);
            self.forget_overflow(range, home, passed);
            return false;
        }
        let annex = self.annex(range).expect("places are in the index");
        annex.remove(fragment, id);
        self.forget_overflow(range, home, 1);
        annex.is_too_large(self.rest.range)
    }

    /// Where an id is filed in a range, if it is. For the one writer.
    pub(crate) fn place_of(&self, range: usize, fragment: Fragment, id: u32) -> Option<Place> {
        let bucket = self.home_in(range, fragment);
        if let Some(lane) = self.buckets[bucket].lane_of(id) {
            return Some(Place { bucket, lane });
        }
        let (place, _) = self.look_further(range, bucket, fragment, id)?;
        Some(place)
    }

    /// The same, of one that is not in its home; and how many buckets it has passed.
    fn look_further(
        &self,
        range: usize,
        home: usize,
        fragment: Fragment,
        id: u32,
    ) -> Option<(Place, usize)> {
        for (passed, bucket) in self.chain(range, home).enumerate() {
            let it = &self.buckets[bucket];
            if let Some(lane) = it.lane_of(id) {
                return Some((Place { bucket, lane }, passed));
            }
            // Relaxed: only the one writer, us, changes it.
            if it.tail.load(Ordering::Relaxed) < OVERFLOW {
                break;
            }
        }
        let Place { bucket, lane } = self.annex(range)?.place_of(fragment, id)?;
        let bucket = bucket + self.buckets.len();
        Some((Place { bucket, lane }, 1))
    }

    /// Takes an entry that overflowed from the first `passed` buckets of its chain out of their counts.
    fn forget_overflow(&self, range: usize, home: usize, passed: usize) {
        for bucket in self.chain(range, home).take(passed) {
            self.buckets[bucket].add_overflow(OVERFLOW.wrapping_neg());
        }
    }

    /// The range's annex, if it has one. The reference holds as long as whoever asks is a reader that the replaced annex waits
    /// for, or the one writer, who replaces it.
    fn annex(&self, range: usize) -> Option<&Annex> {
        // Acquire: pairs with the Release in `put_annex`; the annex is filled before we see it.
        let annex = self.rest.annexes.get(range)?.load(Ordering::Acquire);
        // SAFETY: null, or made by `Box::into_raw` and freed after a grace period from when it was replaced, by the contract of
        // `Outgrown`, or with the index.
        unsafe { annex.as_ref() }
    }

    fn put_annex(&self, range: usize, annex: Option<Annex>) -> Option<Outgrown> {
        let next = annex.map_or(std::ptr::null_mut(), |it| Box::into_raw(Box::new(it)));
        // Release: pairs with the Acquire in `annex`.
        let old = self.rest.annexes[range].swap(next, Ordering::Release);
        (!old.is_null()).then(|| Outgrown(old))
    }

    /// Whether a range has an annex with room for one more. For the one writer.
    #[cfg(nori_loom)]
    pub(crate) fn has_room_in_annex(&self, range: usize) -> bool {
        self.annex(range).is_some_and(|it| !it.is_full())
    }

    /// Gives a range an annex with room for twice what is in the one it has, in whose place that is; the old one is returned.
    /// For the one writer; places in the annex hold no longer.
    pub(crate) fn refit(
        &self,
        range: usize,
        fragment_of: impl Fn(u32) -> Fragment,
    ) -> Option<Outgrown> {
        let old = self.annex(range);
        let next = Annex::new(old.map_or(0, Annex::len) * 2 + 1, self.rest.range);
        for (tag, id) in old.iter().flat_map(|it| filed_in(it.index.buckets_of(0))) {
            next.insert(fragment_of(id), tag, id);
        }
        self.put_annex(range, Some(next))
    }

    /// All ids of a range, in no particular order. Beside a writer: every id that is in the index throughout, once.
    pub(crate) fn ids(&self, range: usize) -> impl Iterator<Item = u32> {
        let annex = self.annex(range).map(|it| it.index.buckets_of(0));
        let filed = filed_in(self.buckets_of(range)).chain(annex.into_iter().flat_map(filed_in));
        filed.map(|(_, id)| id)
    }

    /// Takes all ids of a range out, and its annex. For its one writer.
    pub(crate) fn clear(&self, range: usize) -> Option<Outgrown> {
        self.buckets_of(range).iter().for_each(Bucket::clear);
        self.put_annex(range, None)
    }

    fn buckets_of(&self, range: usize) -> &[Bucket] {
        &self.buckets[range * self.rest.range..][..self.rest.range]
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
}

impl Drop for Index {
    fn drop(&mut self) {
        for range in 0..self.rest.annexes.len() {
            drop(self.put_annex(range, None));
        }
    }
}

/// The tags and ids in some buckets.
fn filed_in(buckets: &[Bucket]) -> impl Iterator<Item = (u8, u32)> {
    buckets.iter().flat_map(|bucket| {
        (0..LANES)
            .map(|lane| (bucket.tag(lane), lane))
            .filter(|&(tag, _)| tag != 0)
            // Acquire: as in `find`.
            .map(|(tag, lane)| (tag, bucket.ids[lane].load(Ordering::Acquire)))
    })
}
