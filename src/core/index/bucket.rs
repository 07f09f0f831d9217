//! One bucket of the index, and the memory of all.

use super::lanes;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Entries to a bucket.
pub(crate) const LANES: usize = 12;
/// Lanes whose tags are in `Bucket::head`; the others' are in the low half of `Bucket::tail`.
const HEAD_LANES: usize = 8;
/// One overflow, in `Bucket::tail`.
pub(super) const OVERFLOW: u64 = 1 << 32;

#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Bucket {
    /// Tags of lanes 0 to 7.
    pub(super) head: AtomicU64,
    /// Tags of lanes 8 to 11; above them the number of overflows.
    pub(super) tail: AtomicU64,
    pub(super) ids: [AtomicU32; LANES],
}

/// The lanes in whose tags a bit is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes(u32);

impl Iterator for Lanes {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let lane = (self.0 != 0).then(|| self.0.trailing_zeros() as usize)?;
        self.0 &= self.0 - 1;
        Some(lane)
    }
}

impl Bucket {
    /// Files an id, if there is a free lane.
    #[inline(always)]
    pub(super) fn insert(&self, tag: u8, id: u32) -> bool {
        let Some(lane) = self.free_lane() else {
            return false;
        };
        // Release: pairs with the Acquire in `find`; the entry was initialised before.
        self.ids[lane].store(id, Ordering::Release);
        self.set_tag(lane, tag);
        true
    }

    /// Whether there is a free lane. For the one writer, as all that follows but `tag`.
    pub(super) fn has_room(&self) -> bool {
        self.free_lane().is_some()
    }

    #[inline(always)]
    fn free_lane(&self) -> Option<usize> {
        self.lanes_of(0).next()
    }

    /// The lanes with this tag. For the one writer.
    #[inline(always)]
    fn lanes_of(&self, tag: u8) -> Lanes {
        // Relaxed, here and in the next two: only the one writer, us, changes these words.
        let head = self.head.load(Ordering::Relaxed);
        let tail = self.tail.load(Ordering::Relaxed);
        Lanes(lanes::equal(head, tail, tag))
    }

    /// The lane in which an id is filed. For the one writer.
    #[inline(always)]
    pub(super) fn lane_of(&self, id: u32) -> Option<usize> {
        let Lanes(free) = self.lanes_of(0);
        let found = lanes::equal_ids(&self.ids, id);
        Lanes(found & !free).next()
    }

    #[inline(always)]
    pub(super) fn set_tag(&self, lane: usize, tag: u8) {
        let (word, lane) = if lane < HEAD_LANES {
            (&self.head, lane)
        } else {
            (&self.tail, lane - HEAD_LANES)
        };
        let shift = lane * 8;
        let cleared = word.load(Ordering::Relaxed) & !(0xff << shift);
        // Release: pairs with the Acquire in `find`; the id was stored before.
        word.store(cleared | u64::from(tag) << shift, Ordering::Release);
    }

    #[cold]
    pub(super) fn add_overflow(&self, by: u64) {
        let tail = self.tail.load(Ordering::Relaxed).wrapping_add(by);
        // Release: pairs with the Acquire in `find`.
        self.tail.store(tail, Ordering::Release);
    }

    pub(super) fn tag(&self, lane: usize) -> u8 {
        let (word, lane) = if lane < HEAD_LANES {
            (&self.head, lane)
        } else {
            (&self.tail, lane - HEAD_LANES)
        };
        // Acquire: as in `find`.
        (word.load(Ordering::Acquire) >> (lane * 8)) as u8
    }

    /// Takes everything out. For the one writer.
    pub(super) fn clear(&self) {
        // Relaxed: only we change them. A bucket that has never been used stays memory that the system has not given out.
        if self.head.load(Ordering::Relaxed) != 0 {
            // Release: pairs with the Acquire in `find`.
            self.head.store(0, Ordering::Release);
        }
        // Relaxed: as above.
        if self.tail.load(Ordering::Relaxed) != 0 {
            // Release: as above.
            self.tail.store(0, Ordering::Release);
        }
    }
}

#[cfg(not(nori_loom))]
mod memory {
    use super::Bucket;
    use std::alloc::{Layout, alloc_zeroed, dealloc};
    use std::ptr::NonNull;

    /// A boxed slice of buckets, made of memory that is not touched: a system gives it out by pages, zeroed, when it is.
    #[derive(Debug)]
    #[repr(C)]
    pub(in super::super) struct Buckets {
        /// The word in front of it is where the memory begins.
        first: NonNull<Bucket>,
        len: usize,
    }

    // SAFETY: it owns its buckets, as a boxed slice would.
    unsafe impl Send for Buckets {}
    // SAFETY: as above; buckets are atomics.
    unsafe impl Sync for Buckets {}

    impl Buckets {
        /// So many empty buckets, at least one; `None` if there is no memory for them.
        pub(in super::super) fn new(len: usize) -> Option<Self> {
            let layout = Self::layout(len)?;
            // SAFETY: the layout is not of size zero.
            let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
            // SAFETY: the word is inside what was allocated, which is larger by a bucket's alignment.
            let word = unsafe { memory.add(size_of::<NonNull<u8>>()) };
            let aside = size_of::<NonNull<u8>>() + word.align_offset(align_of::<Bucket>());
            debug_assert!(aside <= align_of::<Bucket>());
            // SAFETY: as above, as memory is aligned for the word, and so no more than a bucket's alignment aside.
            let first = unsafe { memory.add(aside) }.cast::<Bucket>();
            // SAFETY: inside, as above, aligned for a pointer, and not a bucket's.
            unsafe { first.cast::<NonNull<u8>>().sub(1).write(memory) };
            Some(Self { first, len })
        }

        /// With no more alignment than allocators have anyhow: above that, the standard library writes the zeroes itself.
        fn layout(len: usize) -> Option<Layout> {
            let size = len.checked_mul(size_of::<Bucket>())?;
            let size = size.checked_add(align_of::<Bucket>())?;
            Layout::from_size_align(size, align_of::<NonNull<u8>>()).ok()
        }
    }

    impl std::ops::Deref for Buckets {
        type Target = [Bucket];

        #[inline(always)]
        fn deref(&self) -> &[Bucket] {
            // SAFETY: `len` buckets lie there. Zeroed memory is an empty bucket: words of zero, which is what atomics may be.
            unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
        }
    }

    impl Drop for Buckets {
        fn drop(&mut self) {
            let layout = Self::layout(self.len).expect("it was one before");
            // SAFETY: written in `new`.
            let memory = unsafe { self.first.cast::<NonNull<u8>>().sub(1).read() };
            // SAFETY: allocated in `new` with this layout, and freed only here. Buckets need no drop.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
    }

    const _: () = assert!(!std::mem::needs_drop::<Bucket>());
}

#[cfg(nori_loom)]
mod memory {
    use super::{Bucket, LANES};
    use crate::sync::{AtomicU32, AtomicU64};

    /// The model checker's atomics are no words that may be zero.
    #[derive(Debug)]
    pub(in super::super) struct Buckets(Box<[Bucket]>);

    impl Buckets {
        pub(in super::super) fn new(len: usize) -> Option<Self> {
            let bucket = |_| Bucket {
                head: AtomicU64::new(0),
                tail: AtomicU64::new(0),
                ids: [(); LANES].map(|()| AtomicU32::new(0)),
            };
            Some(Self((0..len).map(bucket).collect()))
        }
    }

    impl std::ops::Deref for Buckets {
        type Target = [Bucket];

        fn deref(&self) -> &[Bucket] {
            &self.0
        }
    }
}

pub(super) use memory::Buckets;
