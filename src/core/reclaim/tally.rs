//! Counting a cache's hits and misses without a line that threads share.
//!
//! Each record has a pair of counters for each of the first [`TALLIES`] caches, beside the word that the thread writes at each
//! read anyhow. Caches beyond those have lines of their own, one for each of [`OWN`] threads and one that the others share.

use super::domain::Domain;
use super::record::{Pin, TALLIES};
use crate::sync::{AtomicU64, CachePadded, Ordering};

/// How many threads have a line of their own with a cache that does not count in records.
const OWN: usize = 64;

const HITS: usize = 0;
const MISSES: usize = 1;

/// The numbers that live tallies have, a bit for each.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// The counters of one cache.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Tally {
    /// Where its pair is in each record; out of its bounds for one that counts on lines of its own.
    first: usize,
    rest: Box<Rest>,
}

/// What hits do not need.
#[derive(Debug)]
struct Rest {
    domain: &'static Domain,
    /// What was counted in records before, for caches that have gone.
    before: [u64; 2],
    lines: Option<Box<[CachePadded<Line>; OWN + 1]>>,
}

/// Hits and misses.
type Line = [AtomicU64; 2];

impl Tally {
    /// Counters for those who pin in a domain: the only one with tallies.
    pub(super) fn new(domain: &'static Domain) -> Self {
        let number = take_number();
        let lines = || Box::new(std::array::from_fn(|_| CachePadded::default()));
        let mut tally = Self {
            first: number.map_or(usize::MAX, |number| 2 * number),
            rest: Box::new(Rest {
                domain,
                before: [0; 2],
                lines: number.is_none().then(lines),
            }),
        };
        tally.rest.before = tally.sums();
        tally
    }

    /// Counts a hit.
    #[inline(always)]
    pub(crate) fn hit(&self, pin: &Pin<'_>) {
        self.count(pin, HITS, 1);
    }

    /// Counts a miss.
    #[inline(always)]
    pub(crate) fn miss(&self, pin: &Pin<'_>) {
        self.count(pin, MISSES, 1);
    }

    /// Counts a batch.
    pub(crate) fn batch(&self, pin: &Pin<'_>, hits: usize, misses: usize) {
        self.count(pin, HITS, hits as u64);
        self.count(pin, MISSES, misses as u64);
    }

    #[inline(always)]
    fn count(&self, pin: &Pin<'_>, which: usize, by: u64) {
        match pin.record.counts[which..].get(self.first) {
            Some(counter) => add(counter, by),
            None => self.count_apart(pin.index(), which, by),
        }
    }

    #[inline(never)]
    fn count_apart(&self, thread: usize, which: usize, by: u64) {
        let lines = self.rest.lines.as_ref().expect("it has a number, or lines");
        if thread < OWN {
            add(&lines[thread][which], by);
        } else {
            // Relaxed: as in `add`.
            lines[OWN][which].fetch_add(by, Ordering::Relaxed);
        }
    }

    /// All hits and misses.
    pub(crate) fn sum(&self) -> (u64, u64) {
        let [hits, misses] = self.sums();
        // Modulo 2^64: what was before is part of it.
        (
            hits.wrapping_sub(self.rest.before[HITS]),
            misses.wrapping_sub(self.rest.before[MISSES]),
        )
    }

    fn sums(&self) -> [u64; 2] {
        [HITS, MISSES].map(|which| match &self.rest.lines {
            Some(lines) => total(lines.iter().map(|line| &line[which])),
            None => total(
                self.rest
                    .domain
                    .records()
                    .map(|record| &record.counts[self.first + which]),
            ),
        })
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        if self.rest.lines.is_none() {
            // Release: pairs with the Acquire in `take_number`; what was counted here is over for the next one.
            TAKEN.fetch_and(!(1 << (self.first / 2)), Ordering::Release);
        }
    }
}

/// Only the calling thread writes the counter.
#[inline(always)]
fn add(counter: &AtomicU64, by: u64) {
    // Relaxed, both: counters order nothing. The number of a record is the thread's own while it runs, and the next thread to
    // get it does so after an Acquire that pairs with this one's Release in `Records::release`.
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(by),
        Ordering::Relaxed,
    );
}

fn total<'c>(counters: impl Iterator<Item = &'c AtomicU64>) -> u64 {
    // Relaxed: as in `add`.
    counters.fold(0, |sum, counter| {
        sum.wrapping_add(counter.load(Ordering::Relaxed))
    })
}

/// A number that no other tally has, if there is one left.
fn take_number() -> Option<usize> {
    let free = |taken: u64| {
        let number = (!taken).trailing_zeros() as usize;
        (number < TALLIES).then_some(number)
    };
    // Acquire: pairs with the Release in `Tally::drop`; what was counted under the number is seen, as what was before. Relaxed, on
    // failure: it is tried again.
    let taken = TAKEN.fetch_update(Ordering::Acquire, Ordering::Relaxed, |taken| {
        Some(taken | 1 << free(taken)?)
    });
    taken.ok().and_then(free)
}
