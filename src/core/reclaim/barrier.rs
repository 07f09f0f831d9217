//! The heavy half of an asymmetric full fence.
//!
//! The light half is what a reader pays on each pin: a compiler fence. [`heavy`] is what a collector pays when a thread fell
//! idle. A thread that issues the light half between a store and a load, and one that issues the heavy half between its
//! store and its load, cannot both miss the other's store.
//!
//! Where the heavy half is not to be had, readers issue full fences instead: see `FENCED` in [`super::domain`]. They learn of it
//! while they run, so there is a time in which some readers may still be in a light pin. [`Settling`] says when that is
//! over.

use crate::arch::membarrier;

pub(super) use crate::arch::membarrier::Refused;
#[cfg(test)]
pub(super) use imp::refuse_here;
pub(super) use imp::{Settling, heavy};
pub(crate) use imp::{fence_everywhere, has_heavy};

#[cfg(all(target_os = "linux", not(any(miri, nori_loom, nori_portable))))]
mod imp {
    use super::{Refused, membarrier};
    use crate::sync::{Ordering, fence, thread};
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    /// Whether this process may issue heavy barriers. Registers it the first time; the same for all threads.
    pub(crate) fn has_heavy() -> bool {
        static REGISTERED: OnceLock<bool> = OnceLock::new();
        *REGISTERED.get_or_init(membarrier::register)
    }

    /// A full fence on every core that runs a thread of this process.
    #[cold]
    pub(in super::super) fn heavy() -> Result<(), Refused> {
        issue()?;
        // SeqCst: orders this thread's own accesses.
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// As [`heavy`], for who cannot go on without: where the barrier is refused, waits for as long as stores may take to reach the
    /// other cores.
    #[cold]
    pub(crate) fn fence_everywhere() {
        if issue().is_err() {
            thread::sleep(DELAY);
        }
        // SeqCst: orders this thread's own accesses.
        fence(Ordering::SeqCst);
    }

    #[cfg(not(test))]
    fn issue() -> Result<(), Refused> {
        membarrier::issue()
    }

    #[cfg(test)]
    fn issue() -> Result<(), Refused> {
        if REFUSED.get() {
            return Err(Refused { for_good: true });
        }
        membarrier::issue()
    }

    #[cfg(test)]
    thread_local! {
        static REFUSED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }

    /// Whether this thread's heavy barriers are refused from now on, as by a filter.
    #[cfg(test)]
    pub(in super::super) fn refuse_here(refuse: bool) {
        REFUSED.set(refuse);
    }

    /// How long a store may take to reach the other cores, and what other cores have stored to be read: a processor drains its
    /// store buffer within microseconds, and in any case when the timer's interrupt comes, of which there are a hundred a
    /// second and more.
    const DELAY: Duration = Duration::from_millis(20);

    /// The time since all readers were told to issue full fences.
    #[derive(Debug)]
    pub(in super::super) struct Settling(OnceLock<Instant>);

    impl Settling {
        pub(in super::super) const fn new() -> Self {
            Self(OnceLock::new())
        }

        /// Whether the word has got round: to be asked by who has told the readers, or knows that somebody has.
        #[cold]
        #[must_use]
        pub(in super::super) fn is_over(&self) -> bool {
            self.0.get_or_init(Instant::now).elapsed() >= DELAY
        }
    }
}

#[cfg(not(all(target_os = "linux", not(any(miri, nori_loom, nori_portable)))))]
mod imp {
    use super::{Refused, membarrier};

    /// Readers issue full fences from the start.
    pub(crate) fn has_heavy() -> bool {
        membarrier::register()
    }

    #[cold]
    pub(in super::super) fn heavy() -> Result<(), Refused> {
        membarrier::issue()
    }

    /// Not for those who rely on it: [`has_heavy`] says no.
    #[cold]
    pub(crate) fn fence_everywhere() {}

    /// They always are.
    #[cfg(test)]
    pub(in super::super) fn refuse_here(_refuse: bool) {}

    /// Nothing has to settle.
    #[derive(Debug)]
    pub(in super::super) struct Settling;

    impl Settling {
        pub(in super::super) const fn new() -> Self {
            Self
        }

        #[cold]
        #[must_use]
        pub(in super::super) fn is_over(&self) -> bool {
            true
        }
    }
}
