//! A gate: counts the calls inside, and lets no call in once it is closed.

use crate::error::Error;
use crate::sync::{AtomicUsize, Notify, Ordering};

/// This bit says that the gate is closed; the others count the calls inside.
const CLOSED: usize = 1 << (usize::BITS - 1);

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: AtomicUsize,
    empty: Notify,
}

/// A call inside.
pub(crate) struct Inside<'g>(&'g Gate);

impl Gate {
    pub(crate) fn enter(&self) -> Result<Inside<'_>, Error> {
        // Relaxed: nothing else is ordered by this word; as it is one word, either the call or the close comes first.
        let before = self.state.fetch_add(1, Ordering::Relaxed);
        let inside = Inside(self);
        if before & CLOSED == 0 {
            Ok(inside)
        } else {
            Err(Error::closed())
        }
    }

    /// Closes, and waits until no call is inside.
    pub(crate) async fn close(&self) {
        // Relaxed: see `enter`.
        self.state.fetch_or(CLOSED, Ordering::Relaxed);
        loop {
            let mut empty = std::pin::pin!(self.empty.notified());
            // Enabled before the look, or a call that leaves in between would not wake us.
            empty.as_mut().enable();
            // Acquire: pairs with the Release in `Inside::drop`; what the calls did is done.
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
