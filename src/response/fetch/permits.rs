//! How much goes on that nobody waits for: a count with a limit. See `detached`.

use crate::sync::{AtomicUsize, Ordering};
use std::sync::Arc;

/// How many are taken.
#[derive(Debug, Default)]
pub(crate) struct Permits(AtomicUsize);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Permits>);

impl Permits {
    pub(crate) fn count(&self) -> usize {
        // Relaxed: a count orders nothing.
        self.0.load(Ordering::Relaxed)
    }

    /// Takes one, unless so many are taken.
    pub(crate) fn take(self: &Arc<Self>, max: usize) -> Option<Taken> {
        let one_more = |count: usize| (count < max).then(|| count + 1);
        // Relaxed, both: as above.
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
            .then(|| Taken(Arc::clone(self)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Relaxed: as above.
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
