//! What a backend in memory counts.
//!
//! A read costs nothing more than the cache's own count of hits and misses. That counts all looks at entries, so the few that are
//! no reads (increments, exchanges of integers, batches) are counted here as well, and what is left are the reads. Counters are
//! spread over lines that few threads share; no clock is read.

use crate::backend::stats::{BackendStats, ErrorCounters, Operation};
use crate::cache::Stats;
use crate::error::Error;
use crate::sync::{AtomicU64, AtomicUsize, CachePadded, Ordering};
use std::cell::Cell;

/// How many lines the threads share.
const LINES: usize = 16;

thread_local! {
    /// The line of this thread, in every backend; none yet, if it is beyond all.
    static LINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Counters, all relaxed: they order nothing.
#[derive(Debug, Default)]
pub(super) struct Counts {
    lines: Box<[CachePadded<Line>; LINES]>,
    errors: [ErrorCounters; Operation::ALL.len()],
}

#[derive(Debug, Default)]
struct Line {
    /// Increments of a cell: a hit of the cache each.
    in_place: AtomicU64,
    /// Other hits and misses of the cache that are no reads.
    aside: [AtomicU64; 2],
    /// Of each operation: calls that succeeded, hits, misses. Reads and increments in place are not here.
    calls: [[AtomicU64; 3]; Operation::ALL.len()],
}

impl Counts {
    #[inline]
    fn line(&self) -> &Line {
        match self.lines.get(LINE.get()) {
            Some(line) => line,
            None => self.new_line(),
        }
    }

    /// The line of a thread that has none yet.
    #[cold]
    fn new_line(&self) -> &Line {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: only that neighbours differ matters.
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % LINES;
        LINE.set(number);
        &self.lines[number]
    }

    /// An increment found a cell, and added to it.
    #[inline]
    pub(super) fn in_place(&self) {
        add(&self.line().in_place, 1);
    }

    /// Looks at entries that were no reads.
    pub(super) fn aside(&self, hits: usize, misses: usize) {
        let [hit, miss] = &self.line().aside;
        add(hit, hits as u64);
        add(miss, misses as u64);
    }

    /// A call succeeded, which found some of its keys.
    pub(super) fn call(&self, operation: Operation, found: usize, not_found: usize) {
        let [calls, hits, misses] = &self.line().calls[operation as usize];
        add(calls, 1);
        add(hits, found as u64);
        add(misses, not_found as u64);
    }

    #[cold]
    pub(super) fn failed(&self, operation: Operation, error: &Error) {
        self.errors[operation as usize].count(error);
    }

    /// `cache` gives what the cache has counted.
    pub(super) fn add_to(&self, stats: &mut BackendStats, cache: impl FnOnce() -> Stats) {
        let mut increments = 0;
        let mut aside = [0, 0];
        for line in self.lines.iter() {
            increments += read(&line.in_place);
            aside[0] += read(&line.aside[0]);
            aside[1] += read(&line.aside[1]);
            for (operation, [calls, hits, misses]) in Operation::ALL.into_iter().zip(&line.calls) {
                let stats = &mut stats[operation];
                stats.calls += read(calls);
                stats.hits += read(hits);
                stats.misses += read(misses);
            }
        }
        // After the others: what is counted in between are a few reads too many, and not too few.
        let cache = cache();
        stats[Operation::Incr].calls += increments;
        let get = &mut stats[Operation::Get];
        get.hits = cache.hits.saturating_sub(increments + aside[0]);
        get.misses = cache.misses.saturating_sub(aside[1]);
        get.calls = get.hits + get.misses;
        stats.memory = Some(cache);
        for (operation, errors) in Operation::ALL.into_iter().zip(&self.errors) {
            let stats = &mut stats[operation];
            stats.errors = errors.snapshot();
            stats.calls += stats.errors.total();
        }
    }
}

fn read(counter: &AtomicU64) -> u64 {
    // Relaxed: as all of them.
    counter.load(Ordering::Relaxed)
}

#[inline]
fn add(counter: &AtomicU64, by: u64) {
    if by > 0 {
        // Relaxed: as all of them.
        counter.fetch_add(by, Ordering::Relaxed);
    }
}
