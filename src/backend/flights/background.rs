//! Loads in the background: how many there may be at a time.

use super::Flights;
use crate::sync::Ordering;
use std::ops::Deref;

/// How many loads of a backend may be in the background at a time.
pub(crate) const MOST_IN_BACKGROUND: usize = 256;

/// Leave for one load to be in the background, given back when dropped.
pub(crate) struct Permit<D: Deref<Target = Flights>>(D);

impl<D: Deref<Target = Flights>> Permit<D> {
    /// `None` if there are as many as there may be.
    pub(crate) fn get(flights: D) -> Option<Self> {
        // Relaxed, all: a number that bounds, and orders nothing.
        let got =
            flights
                .in_background
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                    (count < MOST_IN_BACKGROUND).then_some(count + 1)
                });
        got.is_ok().then(|| Self(flights))
    }
}

impl<D: Deref<Target = Flights>> Drop for Permit<D> {
    fn drop(&mut self) {
        // Relaxed: as above.
        self.0.in_background.fetch_sub(1, Ordering::Relaxed);
    }
}
