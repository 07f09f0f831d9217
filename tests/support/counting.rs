//! An allocator that counts, for tests of what a call allocates. Not in `mod.rs`: it is the whole process's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what the calling thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// The largest piece, since somebody set it to zero.
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    /// What it has allocated, less what it has given back.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

// SAFETY: hands everything on to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending may allocate after its counter is gone.
        let _ = ALLOCATIONS.try_with(|n| n.set(n.get() + 1));
        let _ = BYTES.try_with(|n| n.set(n.get() + layout.size() as i64));
        let _ = LARGEST.try_with(|n| n.set(n.get().max(layout.size())));
        // SAFETY: the caller's promise is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        let _ = BYTES.try_with(|n| n.set(n.get() - layout.size() as i64));
        // SAFETY: `ptr` came from `System`, with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How many more bytes this thread has allocated so far than it has given back.
#[allow(dead_code, reason = "not every test asks")]
pub fn bytes() -> i64 {
    BYTES.get()
}

/// How often `f` asks the allocator for memory, on this thread.
pub fn allocations(f: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

/// The largest piece of memory that `f` asks the allocator for, on this thread, in bytes.
#[allow(dead_code, reason = "not every test asks")]
pub fn largest(f: impl FnOnce()) -> usize {
    LARGEST.set(0);
    f();
    LARGEST.get()
}
