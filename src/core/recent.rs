//! The monotonic clock in milliseconds, for a fraction of what reading it costs.
//!
//! Reading a precise clock takes longer than linking an entry does. Most writes come right behind another one, and the
//! processor's cycle counter tells cheaply that they do: until it has moved so far that the clock's next millisecond may have
//! begun, the thread's last reading of the clock serves.

/// To a millisecond.
const NANOS: u64 = 1_000_000;

#[cfg(all(target_arch = "x86_64", not(any(miri, nori_portable))))]
mod imp {
    use super::NANOS;
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::cell::Cell;
    use std::sync::OnceLock;

    /// A cycle takes no longer: the counter runs at 0.5 GHz or faster.
    const NANOS_PER_CYCLE: u64 = 2;

    thread_local! {
        /// The counter and the clock, both as of the last reading, and for how many cycles that serves. No destructor and a
        /// constant start: access is a load.
        static LAST: Cell<Reading> = const {
            Cell::new(Reading { cycles: 0, serves: 0, millis: 0 })
        };
    }

    #[derive(Clone, Copy)]
    struct Reading {
        cycles: u64,
        serves: u64,
        millis: u64,
    }

    /// `nanos` in whole milliseconds.
    #[inline(always)]
    pub(crate) fn recent(nanos: impl FnOnce() -> u64) -> u64 {
        // SAFETY: every x86-64 processor has the instruction.
        let cycles = unsafe { _rdtsc() };
        let last = LAST.get();
        // A counter that was set back is far ahead of itself.
        if cycles.wrapping_sub(last.cycles) < last.serves {
            return last.millis;
        }
        read(cycles, nanos())
    }

    /// The counter was read before the clock.
    #[cold]
    fn read(cycles: u64, nanos: u64) -> u64 {
        let (millis, left) = (nanos / NANOS, NANOS - nanos % NANOS);
        if is_steady() {
            LAST.set(Reading {
                cycles,
                serves: left / NANOS_PER_CYCLE,
                millis,
            });
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
    /// `nanos` in whole milliseconds.
    #[inline(always)]
    pub(crate) fn recent(nanos: impl FnOnce() -> u64) -> u64 {
        nanos() / super::NANOS
    }
}

pub(crate) use imp::recent;
