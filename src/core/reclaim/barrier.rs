//! The two halves of an asymmetric full fence.
//!
//! [`Barrier::light`] is what a reader pays on each pin, [`Barrier::heavy`] what a collector pays when a thread fell idle. A
//! thread that issues `light` between a store and a load, and one that issues `heavy` between its store and its load,
//! cannot both miss the other's store.

#[cfg(all(target_os = "linux", not(any(miri, nori_loom))))]
pub(super) use asymmetric::Barrier;
#[cfg(not(all(target_os = "linux", not(any(miri, nori_loom)))))]
pub(super) use symmetric::Barrier;

#[cfg(all(target_os = "linux", not(any(miri, nori_loom))))]
mod asymmetric {
    use crate::sync::{Ordering, compiler_fence, fence};
    use rustix::thread::{MembarrierCommand, membarrier};
    use std::sync::OnceLock;

    /// What the kernel offers this process; the same for all threads.
    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Barrier {
        /// Whether it has `membarrier(2)`, expedited (Linux 4.14). If not, or if a filter forbids it, both halves are full
        /// fences.
        expedited: bool,
    }

    impl Barrier {
        /// Registers the process with the kernel, the first time.
        pub(in super::super) fn get() -> Self {
            static BARRIER: OnceLock<Barrier> = OnceLock::new();
            *BARRIER.get_or_init(|| Self {
                expedited: membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok(),
            })
        }

        #[inline(always)]
        pub(in super::super) fn light(self) {
            if self.expedited {
                compiler_fence(Ordering::SeqCst);
            } else {
                // SeqCst: pairs with the fence in `heavy`.
                fence(Ordering::SeqCst);
            }
        }

        /// False if that was not to be had: the kernel may be out of memory, or a filter may forbid the call by now.
        #[cold]
        #[must_use]
        pub(in super::super) fn heavy(self) -> bool {
            if self.expedited && membarrier(MembarrierCommand::PrivateExpedited).is_err() {
                return false;
            }
            // SeqCst: orders this thread's own accesses, and pairs with `light` where both halves are full fences.
            fence(Ordering::SeqCst);
            true
        }
    }
}

#[cfg(not(all(target_os = "linux", not(any(miri, nori_loom)))))]
mod symmetric {
    use crate::sync::{Ordering, fence};

    /// Both halves are full fences.
    #[derive(Debug, Clone, Copy)]
    pub(in super::super) struct Barrier;

    impl Barrier {
        pub(in super::super) fn get() -> Self {
            Self
        }

        #[inline(always)]
        pub(in super::super) fn light(self) {
            // SeqCst: pairs with the fence in `heavy`.
            fence(Ordering::SeqCst);
        }

        /// Always true.
        #[cold]
        #[must_use]
        pub(in super::super) fn heavy(self) -> bool {
            // SeqCst: pairs with the fence in `light`.
            fence(Ordering::SeqCst);
            true
        }
    }
}
