//! The two halves of an asymmetric full fence.
//!
//! [`light`] is what a reader pays on each pin, [`heavy`] what a collector pays when a thread fell idle. A thread that
//! issues `light` between a store and a load, and one that issues `heavy` between its store and its load, cannot both miss
//! the other's store.

#[cfg(all(target_os = "linux", not(any(miri, nori_loom))))]
pub(super) use asymmetric::{heavy, light};
#[cfg(not(all(target_os = "linux", not(any(miri, nori_loom)))))]
pub(super) use symmetric::{heavy, light};

#[cfg(all(target_os = "linux", not(any(miri, nori_loom))))]
mod asymmetric {
    use crate::sync::{AtomicU32, Ordering, compiler_fence, fence};
    use rustix::thread::{MembarrierCommand, membarrier};

    const UNKNOWN: u32 = 0;
    const EXPEDITED: u32 = 1;
    /// The kernel (before 4.14, or behind a filter) has no expedited membarrier: both halves are full fences.
    const SYMMETRIC: u32 = 2;

    /// Written once, before the first `light` of any thread has returned.
    static MODE: AtomicU32 = AtomicU32::new(UNKNOWN);

    #[inline(always)]
    pub(in super::super) fn light() {
        // Relaxed: the value is decided once and for all; who sees UNKNOWN decides it again, to the same end.
        if MODE.load(Ordering::Relaxed) == EXPEDITED {
            compiler_fence(Ordering::SeqCst);
        } else {
            light_slow();
        }
    }

    #[cold]
    fn light_slow() {
        if decide() == SYMMETRIC {
            // SeqCst: pairs with the fence in `heavy` of a process without membarrier.
            fence(Ordering::SeqCst);
        } else {
            compiler_fence(Ordering::SeqCst);
        }
    }

    #[cold]
    pub(in super::super) fn heavy() {
        if decide() == EXPEDITED {
            // The command succeeds once registration has; a failure would be a broken kernel contract, and going on
            // would be use after free.
            membarrier(MembarrierCommand::PrivateExpedited)
                .expect("membarrier was registered and must succeed");
        }
        // SeqCst: orders this thread's own accesses, and pairs with `light` where both halves are full fences.
        fence(Ordering::SeqCst);
    }

    /// Registers the process with the kernel; idempotent, and answered the same for every caller.
    fn decide() -> u32 {
        // Relaxed: see `light`.
        let known = MODE.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return known;
        }
        let mode = match membarrier(MembarrierCommand::RegisterPrivateExpedited) {
            Ok(()) => EXPEDITED,
            Err(_) => SYMMETRIC,
        };
        // Relaxed: racing callers get the same answer from the kernel; the first one stored stands.
        match MODE.compare_exchange(UNKNOWN, mode, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => mode,
            Err(first) => first,
        }
    }
}

#[cfg(not(all(target_os = "linux", not(any(miri, nori_loom)))))]
mod symmetric {
    use crate::sync::{Ordering, fence};

    #[inline(always)]
    pub(in super::super) fn light() {
        // SeqCst: pairs with the fence in `heavy`.
        fence(Ordering::SeqCst);
    }

    #[cold]
    pub(in super::super) fn heavy() {
        // SeqCst: pairs with the fence in `light`.
        fence(Ordering::SeqCst);
    }
}
