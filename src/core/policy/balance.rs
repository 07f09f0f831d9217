//! How large the windows of a store are to be: one number for all shards, which each of them moves by what its sample shows.

use crate::sync::{AtomicU32, CachePadded, Ordering};

/// The whole of a shard's entries.
const WHOLE: u32 = 1 << 16;
/// The least and the most of them that a window has: something is always left to learn from.
const LEAST: u32 = WHOLE / 50;
const MOST: u32 = WHOLE - LEAST;
/// The share moves by a hundredth at a time, or by one entry of a sample that has fewer.
const STEPS: u32 = 100;

/// The window's share of the entries. Begins with the least, which resists scans from the start.
#[derive(Debug)]
pub(crate) struct Balance(CachePadded<AtomicU32>);

impl Balance {
    pub(crate) fn new() -> Self {
        Self(CachePadded(AtomicU32::new(LEAST)))
    }

    /// How many of so many entries the main ring may have; at least one is in the window, and one in the main ring if there are two.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn main_of(&self, entries: usize) -> usize {
        // Relaxed: a number that stands alone.
        let share = self.0.load(Ordering::Relaxed);
        let window = (entries as u64 * u64::from(share) / u64::from(WHOLE)) as usize;
        let most = entries.saturating_sub(1).max(1);
        entries.saturating_sub(window.clamp(1, most))
    }

    /// Gives the windows more or less, after so many hits that one side had and the other had not; positive ones speak for the window.
    #[cold]
    pub(crate) fn shift(&self, hits: i32, sample: usize) {
        let step = WHOLE / STEPS.min(sample.max(1) as u32);
        let by = i64::from(hits) * i64::from(step);
        // Relaxed, both: as above. Each shift is counted, whatever others do at the same time.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |share| {
                let to = i64::from(share) + by;
                Some(to.clamp(LEAST.into(), MOST.into()) as u32)
            });
    }

    /// The window's share, in parts of 65,536.
    #[cfg(test)]
    pub(crate) fn share(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}
