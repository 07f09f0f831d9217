//! A hierarchical timer wheel over the shard's entries, one tick a millisecond.
//!
//! Level `l` has 64 buckets of `64^l` ticks each (Varghese and Lauck, *Hashed and Hierarchical Timing Wheels*, SOSP 1987,
//! scheme 7). An entry is filed on the level of the highest bits in which its deadline differs from the wheel's own time,
//! so everything that lies ahead on a level is due before everything on the level above. Each bucket knows the earliest deadline
//! that it was given, and is spread over the levels below when that comes, not when the bucket's stretch of time begins: a
//! cache filled in one go has all its entries in one bucket for minutes, of which none is due. [`Wheel::poll`] spreads one entry
//! at a time, so that a caller bounds the work it lends; who has expired is taken out wherever it is met.
//!
//! # It is lazy
//!
//! An id stays filed when its entry leaves, and when a slot gets its next entry that one mostly is due later than the last:
//! then it may stay where it is, too early, and [`Wheel::poll`] files it again when it comes across it. So the wheel keeps
//! one promise only: *an id whose deadline lies ahead of all that were taken out is filed under that deadline or an earlier one.*
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

#[cfg(test)]
thread_local! {
    /// How many ids this thread has met in wheels.
    pub(crate) static STEPS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

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
    /// The earliest deadline filed in each occupied bucket, by the number of its anchor; not before `elapsed`.
    dues: Vec<u64>,
    /// Nothing is filed under an earlier tick: what places on the levels are relative to.
    elapsed: u64,
    /// No id with a later deadline has been taken out.
    settled: u64,
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
            dues: Vec::new(),
            elapsed: 0,
            settled: 0,
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
        self.dues = vec![IDLE; (LEVELS * BUCKETS) as usize];
    }

    /// Files an entry under its deadline. `before` is the deadline of the entry that was in the slot until now; [`NEVER`] if
    /// that is not known. Says whether [`Wheel::next_due`] may have changed.
    #[inline(always)]
    pub(crate) fn file(&mut self, id: u32, deadline: u64, before: u64) -> bool {
        let filed = self.settled < before && before <= deadline;
        let more = deadline != NEVER && !filed;
        if more {
            self.file_slow(id, deadline);
        }
        more
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
        // A deadline that has passed is one of now.
        let deadline = deadline.max(self.elapsed);
        let (level, bucket) = self.place(deadline);
        let anchor = level * BUCKETS + bucket;
        let due = &mut self.dues[anchor as usize];
        if self.occupied[level as usize] >> bucket & 1 == 0 {
            self.occupied[level as usize] |= 1 << bucket;
            *due = deadline;
        }
        *due = deadline.min(*due);
        let number = self.links.number(id);
        self.links
            .link_after(anchor, number, self.links.node(number));
        self.next_due = self.next_due.min(deadline);
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
            let earliest = self.earliest();
            self.next_due = earliest.map_or(IDLE, |(due, ..)| due);
            let Some((due, level, bucket)) = earliest.filter(|&(due, ..)| due <= now) else {
                self.elapsed = self.elapsed.max(now);
                self.settled = self.settled.max(self.elapsed);
                return None;
            };
            // The bucket holds the wheel's time from here on, so that its entries have their places on lower levels.
            self.elapsed = due;
            // On level 0 entries are due themselves, while of those above most may not be.
            let (level, bucket) = self.ticked(now).unwrap_or((level, bucket));
            let anchor = level * BUCKETS + bucket;
            let node = self.links.node(anchor).prev();
            let Some(id) = self.links.id(node) else {
                self.occupied[level as usize] &= !(1 << bucket);
                continue;
            };
            *work -= 1;
            #[cfg(test)]
            STEPS.set(STEPS.get() + 1);
            self.links.unlink(self.links.node(node));
            let deadline = deadlines.deadline(id);
            if deadline > now {
                if deadline != NEVER {
                    self.insert(id, deadline);
                }
                continue;
            }
            self.settled = self.settled.max(deadline);
            if deadlines.is_live(id) {
                return Some(id);
            }
        }
        None
    }

    /// The earliest deadline that anything is filed under, and the bucket that has it. It is in the first bucket ahead, or in
    /// one above that which holds the wheel's own time: buckets ahead come one after the other, level by level.
    fn earliest(&self) -> Option<(u64, u32, u32)> {
        let ahead = (0..LEVELS).find_map(|level| Some((level, self.first_ahead(level)?)));
        let holding = (1..LEVELS)
            .map(|level| (level, self.at(level)))
            .filter(|&(level, bucket)| self.occupied[level as usize] >> bucket & 1 != 0);
        holding
            .chain(ahead)
            .map(|(level, bucket)| {
                (
                    self.dues[(level * BUCKETS + bucket) as usize],
                    level,
                    bucket,
                )
            })
            .min()
    }

    /// The first bucket of level 0, if its tick has come.
    fn ticked(&self, now: u64) -> Option<(u32, u32)> {
        let bucket = self.first_ahead(0)?;
        (self.dues[bucket as usize] <= now).then_some((0, bucket))
    }

    /// The first occupied bucket of a level that is not over, in the present round.
    fn first_ahead(&self, level: u32) -> Option<u32> {
        let at = self.at(level);
        let ahead = self.occupied[level as usize] >> at << at;
        (ahead != 0).then(|| ahead.trailing_zeros())
    }

    /// The bucket of a level that holds the wheel's time.
    #[inline(always)]
    fn at(&self, level: u32) -> u32 {
        (self.elapsed >> (level * BITS)) as u32 & (BUCKETS - 1)
    }

    #[inline(always)]
    fn place(&self, deadline: u64) -> (u32, u32) {
        let differing = (deadline ^ self.elapsed) | u64::from(BUCKETS - 1);
        let level = ((63 - differing.leading_zeros()) / BITS).min(LEVELS - 1);
        (level, (deadline >> (level * BITS)) as u32 & (BUCKETS - 1))
    }

    /// Checks that the promise holds for all of `ids`, and that no entry is due before [`Wheel::next_due`].
    ///
    /// # Panics
    /// If the structure is broken.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn validate(&self, ids: impl Iterator<Item = u32>, deadlines: &impl Deadlines) {
        let mut filed = std::collections::HashMap::new();
        if self.is_used() {
            for anchor in 0..LEVELS * BUCKETS {
                let (level, bucket) = (anchor / BUCKETS, anchor % BUCKETS);
                self.links.validate_ring(anchor);
                for node in self.links.ring(anchor) {
                    assert!(self.occupied[level as usize] >> bucket & 1 != 0);
                    let due = self.dues[anchor as usize];
                    assert!(self.next_due <= due, "{due} is before next_due");
                    let id = self.links.id(node).expect("one anchor a ring");
                    filed.insert(id, due);
                }
            }
        }
        for id in ids {
            let deadline = deadlines.deadline(id);
            if deadline != NEVER && (deadlines.is_live(id) || deadline > self.settled) {
                let due = filed.get(&id).expect("it is filed");
                assert!(*due <= deadline.max(self.elapsed), "{id} is filed late");
            }
        }
    }
}
