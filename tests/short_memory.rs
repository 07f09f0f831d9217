//! Building caches of absurd sizes, and where memory is short.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use nori_cache::Cache;

/// The system's allocator, which has no more than so many bytes at once.
struct Short(AtomicUsize);

// SAFETY: the system's allocator does all that is done; a null pointer is what may come back where there is no memory.
unsafe impl GlobalAlloc for Short {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > self.0.load(Ordering::Relaxed) {
            return ptr::null_mut();
        }
        // SAFETY: the caller's contract is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Short = Short(AtomicUsize::new(usize::MAX));

#[test]
fn absurd_sizes_are_refused() {
    for max_keys in [usize::MAX, usize::MAX / 2, 1 << 40, (1 << 38) + 1] {
        for shards in [None, Some(1), Some(1_024)] {
            let mut builder = Cache::<u64, [u64; 8]>::builder().max_keys(max_keys);
            if let Some(shards) = shards {
                builder = builder.shards(shards);
            }
            let error = builder.build().expect_err("so many keys");
            assert!(error.is_invalid_config(), "{error}");
            assert!(error.to_string().starts_with("max_keys is "), "{error}");
        }
    }
}

/// What a large cache sets aside ahead of its keys is a wish: without it, it works all the same.
#[test]
fn a_large_cache_where_memory_is_short() {
    ALLOCATOR.0.store(2 << 20, Ordering::Relaxed);
    let builder = || Cache::<u64, [u64; 8]>::builder();
    let cache = builder().max_keys(1 << 31).shards(8).build();
    let other = builder().max_keys(100_000).shards(1).build();
    ALLOCATOR.0.store(usize::MAX, Ordering::Relaxed);
    for cache in [cache.unwrap(), other.unwrap()] {
        for n in 0..20_000 {
            cache.insert(n, [n; 8]);
        }
        assert!((0..20_000).all(|n| cache.get(&n) == Some([n; 8])));
    }
}
