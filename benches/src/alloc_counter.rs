//! A global allocator that counts between two marks.
//!
//! Outside of marks it adds one relaxed load of a flag that nobody writes, so it can stay installed while throughput
//! is measured. Bytes are those requested (`Layout::size`), before the allocator's own rounding and headers.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// The system allocator, counting while [`count`] runs.
pub struct CountingAllocator;

/// What happened between two marks, on any thread.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Calls of `alloc` and `realloc`.
    pub allocations: u64,
    /// Bytes allocated less bytes freed.
    pub live_bytes: i64,
}

/// Runs `work` between marks. Needs [`CountingAllocator`] as the global allocator, and one caller at a time.
pub fn count<R>(work: impl FnOnce() -> R) -> (R, Counts) {
    ALLOCATIONS.store(0, Relaxed);
    LIVE_BYTES.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
    let result = work();
    COUNTING.store(false, Relaxed);
    let counts = Counts {
        allocations: ALLOCATIONS.load(Relaxed),
        live_bytes: LIVE_BYTES.load(Relaxed),
    };
    (result, counts)
}

#[inline]
fn record(allocations: u64, bytes: i64) {
    if COUNTING.load(Relaxed) {
        ALLOCATIONS.fetch_add(allocations, Relaxed);
        LIVE_BYTES.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: every call goes to `System` with the caller's own arguments, and counting touches atomics only: it neither
// allocates nor unwinds, so the contract of `System` is the contract of this type.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        record(1, layout.size() as i64);
        // SAFETY: the caller keeps `GlobalAlloc::alloc`'s contract for `layout`, which is passed on unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        record(1, layout.size() as i64);
        // SAFETY: as in `alloc`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        record(0, -(layout.size() as i64));
        // SAFETY: `block` came from this allocator with `layout`, so it came from `System` with `layout`.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        record(1, new_size as i64 - layout.size() as i64);
        // SAFETY: as in `dealloc`; the caller vouches for `new_size`.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
