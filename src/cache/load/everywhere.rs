//! How writes learn that a cache loads.
//!
//! A write must not miss a load that has begun, and a load must not miss what a write's caller did before: both pass a full fence
//! between their own store and their look at the other's. Writes of caches that never load should not pay for that. So a write looks
//! at a flag first, without a fence, and the cache's first load sets it and issues `membarrier(2)`, a full fence on every core that
//! runs a thread of the process: a write whose look came before that has made known what its caller did, and one whose look comes
//! after it sees the flag. (Dice, Huang, Yang, *Asymmetric Dekker synchronization*, 2001.)
//!
//! Where there is no such call the flag is set from the start. *Should it be forbidden later*, by a filter that the process installs,
//! the first load waits instead for longer than a store takes to reach the other cores, which `core/reclaim/mod.rs` argues for.

pub(super) use imp::{can_tell, tell};

#[cfg(all(target_os = "linux", not(any(miri, nori_loom, nori_portable))))]
mod imp {
    use crate::sync::{Ordering, fence, thread};
    use rustix::thread::{MembarrierCommand, membarrier};
    use std::sync::OnceLock;
    use std::time::Duration;

    /// No store stays in a processor's buffer for longer.
    const DELAY: Duration = Duration::from_millis(20);

    /// Whether the kernel has `membarrier(2)`, expedited (Linux 4.14), and lets this process use it.
    pub(in super::super) fn can_tell() -> bool {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        *REGISTERED.get_or_init(|| membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok())
    }

    /// Returns when every thread sees what this one stored before.
    #[cold]
    pub(in super::super) fn tell() {
        if membarrier(MembarrierCommand::PrivateExpedited).is_err() {
            thread::sleep(DELAY);
        }
        // SeqCst: orders this thread's own accesses.
        fence(Ordering::SeqCst);
    }
}

#[cfg(not(all(target_os = "linux", not(any(miri, nori_loom, nori_portable)))))]
mod imp {
    /// Writes ask from the start.
    pub(in super::super) fn can_tell() -> bool {
        false
    }

    /// There is nothing to tell.
    #[cold]
    pub(in super::super) fn tell() {}
}
