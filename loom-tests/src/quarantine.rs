//! An allocator that leaves freed memory as it is for a while, so that an atomic or a cell in it still knows which one it
//! was: loom then names the race, where a reader of reused memory would only confuse it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};

#[global_allocator]
static ALLOCATOR: Quarantine = Quarantine {
    locked: AtomicBool::new(false),
    held: UnsafeCell::new(Held {
        blocks: [(std::ptr::null_mut(), Layout::new::<()>()); BLOCKS],
        next: 0,
    }),
};

/// How many blocks are held.
const BLOCKS: usize = 1 << 14;
/// Larger ones are not held: they are the checker's own tables.
const MAX_SIZE: usize = 1 << 15;

struct Quarantine {
    locked: AtomicBool,
    held: UnsafeCell<Held>,
}

struct Held {
    blocks: [(*mut u8, Layout); BLOCKS],
    next: usize,
}

// SAFETY: `held` is only touched by who has set `locked`.
unsafe impl Sync for Quarantine {}

impl Quarantine {
    /// Holds a block, and returns the one that has been held longest.
    fn exchange(&self, block: (*mut u8, Layout)) -> (*mut u8, Layout) {
        // Acquire: pairs with the Release below.
        while self.locked.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: we have the lock, and the borrow ends before it is given up.
        let held = unsafe { &mut *self.held.get() };
        let oldest = std::mem::replace(&mut held.blocks[held.next], block);
        held.next = (held.next + 1) % BLOCKS;
        // Release: pairs with the Acquire above.
        self.locked.store(false, Ordering::Release);
        oldest
    }
}

// SAFETY: all memory comes from `System` and goes back to it once, with the layout that it came with.
unsafe impl GlobalAlloc for Quarantine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (block, layout) = if layout.size() <= MAX_SIZE {
            self.exchange((block, layout))
        } else {
            (block, layout)
        };
        if !block.is_null() {
            // SAFETY: the block was allocated by `System` with this layout and was given to us to free.
            unsafe { System.dealloc(block, layout) };
        }
    }
}
