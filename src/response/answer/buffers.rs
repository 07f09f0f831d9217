//! [`Buffers`]: how much memory bodies that come in pieces hold, while they are collected for the store, and while they wait for
//! readers that are slower than their handlers. It is counted for all responses of a layer, and bounded.

use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// The most that a piece costs beside its bytes.
const PIECE: u64 = 128;

/// What all responses hold, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Buffers(AtomicU64);

/// What one response holds.
#[derive(Debug)]
pub(crate) struct Account {
    buffers: Arc<Buffers>,
    held: AtomicU64,
    /// The most that all responses may hold.
    max: u64,
}

/// Counts some bytes until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    account: Arc<Account>,
    bytes: u64,
}

impl Buffers {
    pub(crate) fn account(self: &Arc<Self>, max: u64) -> Arc<Account> {
        Arc::new(Account {
            buffers: Arc::clone(self),
            held: AtomicU64::new(0),
            max,
        })
    }

    /// How many bytes are held.
    pub(crate) fn held(&self) -> u64 {
        // Relaxed: a count orders nothing.
        self.0.load(Ordering::Relaxed)
    }
}

impl Account {
    /// How many bytes are held.
    pub(crate) fn held(&self) -> u64 {
        // Relaxed: a count orders nothing.
        self.held.load(Ordering::Relaxed)
    }

    /// Takes room for a piece; `None` if too little is left.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let mut held = Held {
            account: Arc::clone(self),
            bytes: 0,
        };
        held.grow(bytes).then_some(held)
    }
}

impl Held {
    /// Takes room for another piece; false if too little is left. Who asks at the same time may find less than there is.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let bytes = (bytes as u64).saturating_add(PIECE);
        let Account { buffers, held, max } = &*self.account;
        // Relaxed, both: a count orders nothing.
        let all = buffers.0.fetch_add(bytes, Ordering::Relaxed);
        held.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        let fits = all.saturating_add(bytes) <= *max;
        if !fits {
            self.shrink(bytes);
        }
        fits
    }

    /// How many bytes it counts.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn shrink(&mut self, bytes: u64) {
        self.bytes -= bytes;
        // Relaxed, both: a count orders nothing.
        self.account.held.fetch_sub(bytes, Ordering::Relaxed);
        self.account.buffers.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(all(test, not(nori_loom)))]
mod tests {
    use super::*;

    #[test]
    fn all_hold_as_much_as_is_allowed_and_nobody_keeps_it() {
        let buffers = Arc::<Buffers>::default();
        let max = 100 * (PIECE + 1000);
        let accounts = [buffers.account(max), buffers.account(max)];
        let mut collected = accounts[0].hold(1000).unwrap();
        for _ in 1..50 {
            assert!(collected.grow(1000));
        }
        let waits: Vec<_> = (0..50).map(|_| accounts[1].hold(1000).unwrap()).collect();
        assert_eq!(buffers.held(), max);
        assert_eq!((collected.bytes(), accounts[0].held()), (max / 2, max / 2));
        assert!(!collected.grow(0) && accounts[1].hold(0).is_none());
        assert_eq!(buffers.held(), max);
        drop(waits);
        assert_eq!((accounts[1].held(), buffers.held()), (0, max / 2));
        assert!(collected.grow(1000));
        drop(collected);
        assert_eq!(buffers.held(), 0);
    }

    #[test]
    fn no_size_is_too_large_to_be_refused() {
        let buffers = Arc::<Buffers>::default();
        for max in [0, 1, u64::MAX] {
            let account = buffers.account(max);
            assert!(account.hold(isize::MAX as usize).is_none() || max == u64::MAX);
            assert_eq!(account.hold(1).is_some(), max > 1000);
            assert_eq!(buffers.held(), 0);
        }
    }
}
