//! [`Permits`]: a count with a limit, of what goes on without a client.

use crate::sync::{AtomicUsize, Ordering};
use std::sync::Arc;

/// How many permits are taken.
#[derive(Debug, Default)]
pub(crate) struct Permits(AtomicUsize);

/// A permit that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Arc<Permits>);

impl Permits {
    pub(crate) fn count(&self) -> usize {
        // Relaxed: a count orders nothing.
        self.0.load(Ordering::Relaxed)
    }

    /// Takes one, unless this many are taken.
    pub(crate) fn take(self: &Arc<Self>, max: usize) -> Option<Taken> {
        let one_more = |count: usize| (count < max).then(|| count + 1);
        // Relaxed, both: a count orders nothing.
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
            .then(|| Taken(Arc::clone(self)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // Relaxed: a count orders nothing.
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
