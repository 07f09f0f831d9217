//! A hierarchical timer wheel over the shard's entries, one tick a millisecond.
//!
//! Level `l` has 64 buckets of `64^l` ticks each (Varghese and Lauck, *Hashed and Hierarchical Timing Wheels*, SOSP 1987,
//! scheme 7). An entry is filed on the level of the highest bits in which its deadline differs from the wheel's own time,
//! so everything on a level is due before everything on the level above, and a bucket above level 0 is spread over the
//! levels below when its time comes. [`Wheel::poll`] does that one entry at a time: a caller bounds the work it lends.

use super::links::Links;

const BITS: u32 = 6;
const BUCKETS: u32 = 1 << BITS;
/// Enough for deadlines of 42 bits.
const LEVELS: u32 = 7;
/// No entry is due, ever.
pub(crate) const IDLE: u64 = u64::MAX;

/// Where the wheel finds the deadline of an entry, in milliseconds of the cache's clock.
pub(crate) trait Deadlines {
    fn deadline(&self, id: u32) -> u64;
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Bucket `b` of level `l` is the ring through anchor `l * 64 + b`. Empty until the first entry with a deadline.
    links: Links,
    /// A bit for each bucket that may have entries; cleared when it turns out to be empty.
    occupied: [u64; LEVELS as usize],
    /// Everything before this tick has been dealt with.
    elapsed: u64,
    /// No entry is due before this tick.
    next_due: u64,
    capacity: usize,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            links: Links::new(0),
            occupied: [0; LEVELS as usize],
            elapsed: 0,
            next_due: IDLE,
            capacity: 0,
        }
    }

    /// A tick before which no entry is due; [`IDLE`] if there is none.
    #[inline(always)]
    pub(crate) fn next_due(&self) -> u64 {
        self.next_due
    }

    /// Makes room for ids below `ids`.
    pub(crate) fn reserve(&mut self, ids: usize) {
        self.capacity = ids;
        if self.is_used() {
            self.links.reserve(ids);
        }
    }

    #[inline(always)]
    fn is_used(&self) -> bool {
        // An entry's node is never 0 once there are anchors.
        self.links.node(0) != 0
    }

    #[cold]
    fn start(&mut self) {
        self.links = Links::new(LEVELS * BUCKETS);
        self.links.reserve(self.capacity);
    }

    /// Files an entry that is in no bucket under its deadline.
    #[inline(always)]
    pub(crate) fn insert(&mut self, id: u32, deadline: u64) {
        if !self.is_used() {
            self.start();
        }
        let (level, bucket) = self.place(deadline);
        self.occupied[level as usize] |= 1 << bucket;
        let node = self.links.node(id);
        self.links.link_after(level * BUCKETS + bucket, node);
        self.next_due = self.next_due.min(self.start_of(level, bucket));
    }

    /// Takes an entry out; nothing happens if it is not in the wheel.
    #[inline(always)]
    pub(crate) fn remove(&mut self, id: u32) {
        if self.is_used() {
            let node = self.links.node(id);
            self.links.unlink(node);
        }
    }

    /// Takes out and returns an entry whose deadline is at or before `now`, if there is one and `work` suffices: each
    /// entry that is taken out or moved costs 1.
    #[inline(always)]
    pub(crate) fn poll(
        &mut self,
        now: u64,
        work: &mut u32,
        deadlines: &impl Deadlines,
    ) -> Option<u32> {
        if now < self.next_due {
            return None;
        }
        self.poll_slow(now, work, deadlines)
    }

    #[cold]
    fn poll_slow(&mut self, now: u64, work: &mut u32, deadlines: &impl Deadlines) -> Option<u32> {
        while *work > 0 {
            let Some((level, bucket)) = self.earliest() else {
                self.next_due = IDLE;
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            let start = self.start_of(level, bucket);
            self.next_due = start;
            if start > now {
                self.elapsed = self.elapsed.max(now);
                return None;
            }
            self.elapsed = start;
            let anchor = level * BUCKETS + bucket;
            let node = self.links.prev(anchor);
            let Some(id) = self.links.id(node) else {
                self.occupied[level as usize] &= !(1 << bucket);
                continue;
            };
            *work -= 1;
            self.links.unlink(node);
            if level == 0 {
                return Some(id);
            }
            self.insert(id, deadlines.deadline(id));
        }
        None
    }

    /// The bucket whose time comes first. A bucket above level 0 that holds the wheel's own time is being spread and goes
    /// before everything else.
    fn earliest(&self) -> Option<(u32, u32)> {
        let at = |level: u32| (self.elapsed >> (level * BITS)) as u32 & (BUCKETS - 1);
        let spread = (1..LEVELS)
            .rev()
            .map(|level| (level, at(level)))
            .find(|&(level, bucket)| self.occupied[level as usize] >> bucket & 1 != 0);
        spread.or_else(|| {
            (0..LEVELS).find_map(|level| {
                let ahead = self.occupied[level as usize] >> at(level) << at(level);
                (ahead != 0).then(|| (level, ahead.trailing_zeros()))
            })
        })
    }

    #[inline(always)]
    fn place(&self, deadline: u64) -> (u32, u32) {
        let deadline = deadline.max(self.elapsed);
        let differing = (deadline ^ self.elapsed) | u64::from(BUCKETS - 1);
        let level = ((63 - differing.leading_zeros()) / BITS).min(LEVELS - 1);
        (level, (deadline >> (level * BITS)) as u32 & (BUCKETS - 1))
    }

    /// The first tick of a bucket that lies ahead of, or holds, the wheel's own time.
    #[inline(always)]
    fn start_of(&self, level: u32, bucket: u32) -> u64 {
        let shift = level * BITS;
        let above = self.elapsed >> (shift + BITS) << (shift + BITS);
        (above | u64::from(bucket) << shift).max(self.elapsed)
    }

    /// Checks that every filed entry is in the bucket of its deadline and is not due before [`Wheel::next_due`].
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, deadlines: &impl Deadlines) {
        if !self.is_used() {
            return;
        }
        self.links.validate();
        for anchor in 0..LEVELS * BUCKETS {
            let (level, bucket) = (anchor / BUCKETS, anchor % BUCKETS);
            for node in self.links.iter(anchor) {
                let deadline = deadlines.deadline(self.links.id(node).expect("one anchor a ring"));
                assert!(self.occupied[level as usize] >> bucket & 1 != 0);
                assert!(
                    deadline.max(self.elapsed) >= self.next_due.min(self.elapsed.max(deadline))
                );
                let shift = level * BITS;
                let start = self.start_of(level, bucket);
                assert_eq!(deadline.max(start) >> shift, start >> shift);
            }
        }
    }
}
