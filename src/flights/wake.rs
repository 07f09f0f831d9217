//! Waking, which runs others' code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Wakes all of them, whatever one of them does: if it panics, the others are woken all the same, and whoever wakes goes on.
pub(crate) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        // The panic's hook has told of it.
        let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
    }
}
