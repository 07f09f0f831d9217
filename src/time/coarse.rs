//! The system's clocks, in milliseconds: the precise monotonic one, and one that is cheaper to read where the platform has it.

/// How far the coarse clock may be behind the precise one. Linux moves it with each timer tick, every 1 to 10 ms, on one
/// processor; where that is a virtual one and stands still, another one moves it after five ticks more.
#[cfg(any(
    feature = "backend",
    feature = "tower",
    all(target_os = "linux", not(any(miri, nori_portable)))
))]
pub(super) const LAG_MILLIS: u64 = 100;

#[cfg(all(target_os = "linux", not(any(miri, nori_portable))))]
mod imp {
    use rustix::time::{ClockId, Timespec, clock_gettime};

    /// A time in milliseconds that the monotonic clock has not passed yet, and not far from it; `None` where the platform has
    /// no clock that is cheaper to read.
    #[inline(always)]
    pub(in super::super) fn soon() -> Option<u64> {
        /// What is lost by taking 2^20 for a million.
        const CUT_OFF: u64 = 1_000 - (999_999_999 >> 20);
        let time = clock_gettime(ClockId::MonotonicCoarse);
        let millis = (time.tv_sec as u64).wrapping_mul(1000);
        Some(millis.wrapping_add((time.tv_nsec as u64 >> 20) + CUT_OFF + super::LAG_MILLIS))
    }

    /// Milliseconds of the monotonic clock. It may start at 0.
    #[inline(always)]
    pub(in super::super) fn precise_millis() -> u64 {
        to_millis(clock_gettime(ClockId::Monotonic))
    }

    /// Nanoseconds of the monotonic clock.
    #[inline(always)]
    pub(in super::super) fn precise_nanos() -> u64 {
        let time = clock_gettime(ClockId::Monotonic);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }

    /// As `millis`, of the time of day.
    #[cfg(any(feature = "backend", feature = "tower"))]
    #[inline(always)]
    pub(in super::super) fn wall_millis() -> Option<u64> {
        let time = clock_gettime(ClockId::RealtimeCoarse);
        // Before 1970 the platform's own time of day decides what that means.
        (time.tv_sec >= 0).then(|| to_millis(time))
    }

    /// Modulo 2^64: half a billion years.
    #[inline(always)]
    fn to_millis(time: Timespec) -> u64 {
        let millis = (time.tv_sec as u64).wrapping_mul(1000);
        millis.wrapping_add(time.tv_nsec as u64 / 1_000_000)
    }
}

#[cfg(not(all(target_os = "linux", not(any(miri, nori_portable)))))]
mod imp {
    use std::sync::LazyLock;
    use std::time::Instant;

    static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

    #[inline(always)]
    pub(in super::super) fn soon() -> Option<u64> {
        None
    }

    #[cfg(any(feature = "backend", feature = "tower"))]
    #[inline(always)]
    pub(in super::super) fn wall_millis() -> Option<u64> {
        None
    }

    /// Milliseconds since the first call, which returns 0.
    #[inline(always)]
    pub(in super::super) fn precise_millis() -> u64 {
        ORIGIN.elapsed().as_millis() as u64
    }

    #[inline(always)]
    pub(in super::super) fn precise_nanos() -> u64 {
        ORIGIN.elapsed().as_nanos() as u64
    }
}

#[cfg(any(feature = "backend", feature = "tower"))]
pub(super) use imp::wall_millis;
pub(super) use imp::{precise_millis, precise_nanos, soon};
