//! Counts those inside, and lets nobody in once it is closed.

use crate::error::Error;
use crate::sync::{AtomicUsize, Notify, Ordering};

/// The other bits count those inside.
const CLOSED: usize = 1 << (usize::BITS - 1);

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    empty: Notify,
}

/// Somebody inside.
pub(crate) struct Inside<'g>(&'g Gate);

impl Gate {
    pub(crate) fn enter(&self) -> Result<Inside<'_>, Error> {
        // Relaxed: nothing else is ordered by this word; that it is one word decides who came first.
        let before = self.state.fetch_add(1, Ordering::Relaxed);
        let inside = Inside(self);
        match before & CLOSED {
            0 => Ok(inside),
            _ => Err(Error::closed()),
        }
    }

    /// Closes, and waits until nobody is inside.
    pub(crate) async fn close(&self) {
        // Relaxed: see `enter`.
        self.state.fetch_or(CLOSED, Ordering::Relaxed);
        loop {
            let mut empty = std::pin::pin!(self.empty.notified());
            // Before the look, or a leave in between would not wake us.
            empty.as_mut().enable();
            // Acquire: pairs with the Release of those who left; what they did is done.
            if self.state.load(Ordering::Acquire) == CLOSED {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `close`.
        if self.0.state.fetch_sub(1, Ordering::Release) == CLOSED | 1 {
            self.0.empty.notify_waiters();
        }
    }
}
