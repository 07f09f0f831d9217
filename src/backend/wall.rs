//! The time that kept entries get old by: of the day, as processes share it, or a test's.

use super::CacheBackend;
use crate::time::{wall_millis, wall_millis_soon};

/// Now, in milliseconds.
pub(super) fn now<B: CacheBackend + ?Sized>(backend: &B) -> u64 {
    match backend.manual_clock() {
        Some(clock) => clock.millis(),
        None => wall_millis(),
    }
}

/// A time that is before `at` exactly if now is. Cheaper than [`now`] where `at` is not near.
#[inline]
pub(super) fn now_beside<B: CacheBackend + ?Sized>(backend: &B, at: u64) -> u64 {
    match wall_millis_soon() {
        Some(soon) if soon < at && backend.manual_clock().is_none() => soon,
        _ => now(backend),
    }
}
