//! The processor's cycle counter, which is read in a fraction of the time that a clock takes.

/// Nanoseconds that a cycle takes at most: the counter runs at 0.5 GHz or faster.
pub(crate) const NANOS_PER_CYCLE: u64 = 2;

#[cfg(all(target_arch = "x86_64", not(any(miri, nori_portable))))]
mod imp {
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::sync::OnceLock;

    /// The counter, if there is one.
    #[inline(always)]
    pub(crate) fn now() -> Option<u64> {
        // SAFETY: every x86-64 processor has the instruction.
        Some(unsafe { _rdtsc() })
    }

    /// Whether the counter runs at the same rate in all power states, on all cores.
    pub(crate) fn is_steady() -> bool {
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
    /// There is none.
    #[inline(always)]
    pub(crate) fn now() -> Option<u64> {
        None
    }

    /// Never asked.
    pub(crate) fn is_steady() -> bool {
        false
    }
}

pub(crate) use imp::{is_steady, now};
