//! The monotonic clock as of a moment ago, for a fraction of what reading it costs.
//!
//! Reading a precise clock takes longer than linking an entry does. Most writes come right behind another one, and the
//! processor's cycle counter tells cheaply that they do: as long as it has moved by less than [`imp::MOMENT`], the thread's
//! last reading of the clock serves.

#[cfg(all(target_arch = "x86_64", not(any(miri, nori_portable))))]
mod imp {
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::cell::Cell;
    use std::sync::OnceLock;

    /// In cycles of a counter that runs at 0.5 GHz or faster: at most half a millisecond.
    const MOMENT: u64 = 250_000;

    thread_local! {
        /// The counter and the clock, both as of the last reading. No destructor and a constant start: access is a load.
        static LAST: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }

    /// `millis`, or what it was at most half a millisecond ago.
    #[inline(always)]
    pub(crate) fn recent(millis: impl FnOnce() -> u64) -> u64 {
        // SAFETY: every x86-64 processor has the instruction.
        let cycles = unsafe { _rdtsc() };
        let (then, recent) = LAST.get();
        // A counter that was set back is far ahead of itself.
        if cycles.wrapping_sub(then) < MOMENT {
            return recent;
        }
        read(cycles, millis())
    }

    #[cold]
    fn read(cycles: u64, millis: u64) -> u64 {
        if is_steady() {
            LAST.set((cycles, millis));
        }
        millis
    }

    /// Whether the counter runs at the same rate in all power states, on all cores.
    fn is_steady() -> bool {
        const POWER_MANAGEMENT: u32 = 0x8000_0007;
        const INVARIANT: u32 = 1 << 8;
        static STEADY: OnceLock<bool> = OnceLock::new();
        *STEADY.get_or_init(|| {
            #[allow(
                unused_unsafe,
                reason = "safe in newer versions of the standard library"
            )]
            // SAFETY: every x86-64 processor has the instruction; it only reads.
            let cpuid = |leaf| unsafe { __cpuid(leaf) };
            cpuid(1 << 31).eax >= POWER_MANAGEMENT && cpuid(POWER_MANAGEMENT).edx & INVARIANT != 0
        })
    }
}

#[cfg(not(all(target_arch = "x86_64", not(any(miri, nori_portable)))))]
mod imp {
    /// `millis`.
    #[inline(always)]
    pub(crate) fn recent(millis: impl FnOnce() -> u64) -> u64 {
        millis()
    }
}

pub(crate) use imp::recent;
