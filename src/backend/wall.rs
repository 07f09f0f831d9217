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
    now_while(backend, |now| now < at)
}

/// A time at which something is so exactly if it is so now: something that never is again, once it is not. Cheaper than [`now`] as long
/// as its end is not near.
#[inline]
pub(super) fn now_while<B>(backend: &B, is_so: impl FnOnce(u64) -> bool) -> u64
where
    B: CacheBackend + ?Sized,
{
    match wall_millis_soon() {
        Some(soon) if is_so(soon) && backend.manual_clock().is_none() => soon,
        _ => now(backend),
    }
}

/// Whether something is so now, and for a while: something that never is again, once it is not. Where it says no, it may be.
#[inline(always)]
pub(super) fn is_for_a_while<B>(backend: &B, is_so: impl FnOnce(u64) -> bool) -> bool
where
    B: CacheBackend + ?Sized,
{
    wall_millis_soon().is_some_and(is_so) && backend.manual_clock().is_none()
}
