//! A hierarchical timer wheel over the shard's entries, one tick a millisecond.
//!
//! Level `l` has 64 buckets of `64^l` ticks each (Varghese and Lauck, *Hashed and Hierarchical Timing Wheels*, SOSP 1987,
//! scheme 7). An entry is filed on the level of the highest bits in which its deadline differs from the wheel's own time,
//! so everything on a level is due before everything on the level above, and a bucket above level 0 is spread over the
//! levels below when its time comes. [`Wheel::poll`] does that one entry at a time: a caller bounds the work it lends.
//!
//! # It is lazy
//!
//! An id stays filed when its entry leaves, and when a slot gets its next entry that one mostly is due later than the last:
//! then it may stay where it is, too early, and [`Wheel::poll`] files it again when it comes across it. So the wheel keeps
//! one promise only: *an id whose deadline lies ahead of the wheel's time is filed under that deadline or an earlier one.*
//! In a cache that replaces its entries faster than they expire, writes hardly ever touch the wheel's memory.

use super::entry::NEVER;
use super::links::{Links, Nodes};

const BITS: u32 = 6;
const BUCKETS: u32 = 1 << BITS;
/// Enough for deadlines of 42 bits.
const LEVELS: u32 = 7;
/// Room is made for no more ids than this at once.
const MOST_AT_ONCE: usize = 1 << 20;
/// No entry is due, ever.
pub(crate) const IDLE: u64 = u64::MAX;

/// Where the wheel finds what an id stands for now.
pub(crate) trait Deadlines {
    /// The deadline, in milliseconds of the cache's clock, of the entry in this slot, in the cache or in limbo; [`NEVER`] if
    /// it has none or the slot is vacant.
    fn deadline(&self, id: u32) -> u64;

    /// Whether the entry is in the cache.
    fn is_live(&self, id: u32) -> bool;
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
    expected: usize,
}

impl Wheel {
    /// A wheel that expects ids up to about `expected`.
    pub(crate) fn new(expected: usize) -> Self {
        Self {
            links: Links::new(0),
            occupied: [0; LEVELS as usize],
            elapsed: 0,
            next_due: IDLE,
            expected,
        }
    }

    /// A tick before which no entry is due; [`IDLE`] if there is none.
    #[inline(always)]
    pub(crate) fn next_due(&self) -> u64 {
        self.next_due
    }

    #[inline(always)]
    fn is_used(&self) -> bool {
        self.links.has_anchors()
    }

    #[cold]
    fn start(&mut self) {
        let expected = self.expected.min(MOST_AT_ONCE);
        self.links = Links::with_capacity(LEVELS * BUCKETS, expected);
    }

    /// Files an entry under its deadline. `before` is the deadline of the entry that was in the slot until now; [`NEVER`] if
    /// that is not known.
    #[inline(always)]
    pub(crate) fn file(&mut self, id: u32, deadline: u64, before: u64) {
        let filed = self.elapsed < before && before <= deadline;
        if deadline != NEVER && !filed {
            self.file_slow(id, deadline);
        }
    }

    fn file_slow(&mut self, id: u32, deadline: u64) {
        if !self.is_used() {
            self.start();
        }
        self.links.reserve(id);
        let node = self.links.node(self.links.number(id));
        if node.is_linked() {
            self.links.unlink(node);
        }
        self.insert(id, deadline);
    }

    fn insert(&mut self, id: u32, deadline: u64) {
        let (level, bucket) = self.place(deadline);
        self.occupied[level as usize] |= 1 << bucket;
        let number = self.links.number(id);
        self.links
            .link_after(level * BUCKETS + bucket, number, self.links.node(number));
        self.next_due = self.next_due.min(self.start_of(level, bucket));
    }

    /// Takes out and returns an entry whose deadline is at or before `now`, if there is one and `work` suffices: each
    /// id that is taken out or moved costs 1.
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
            let node = self.links.node(anchor).prev();
            let Some(id) = self.links.id(node) else {
                self.occupied[level as usize] &= !(1 << bucket);
                continue;
            };
            *work -= 1;
            self.links.unlink(self.links.node(node));
            match deadlines.deadline(id) {
                NEVER => {}
                deadline if deadline > start || level > 0 => self.insert(id, deadline),
                _ if deadlines.is_live(id) => return Some(id),
                _ => {}
            }
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

    /// Checks that the promise holds for all of `ids`, and that no entry is due before [`Wheel::next_due`].
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, ids: impl Iterator<Item = u32>, deadlines: &impl Deadlines) {
        let mut starts = std::collections::HashMap::new();
        if self.is_used() {
            for anchor in 0..LEVELS * BUCKETS {
                let (level, bucket) = (anchor / BUCKETS, anchor % BUCKETS);
                self.links.validate_ring(anchor);
                for node in self.links.ring(anchor) {
                    assert!(self.occupied[level as usize] >> bucket & 1 != 0);
                    let start = self.start_of(level, bucket);
                    assert!(self.next_due <= start, "{start} is before next_due");
                    starts.insert(self.links.id(node).expect("one anchor a ring"), start);
                }
            }
        }
        for id in ids {
            let deadline = deadlines.deadline(id);
            if deadline != NEVER && (deadlines.is_live(id) || deadline > self.elapsed) {
                let start = starts.get(&id).expect("it is filed");
                assert!(*start <= deadline.max(self.elapsed), "{id} is filed late");
            }
        }
    }
}
