//! A timestamp cheap enough to be taken around a single lookup.
//!
//! On x86-64 this is the time stamp counter, fenced so that the lookup can neither start before the first nor end after the
//! second reading, and calibrated against `Instant`. Elsewhere it is `Instant` itself.

#![allow(unsafe_code)]

use std::time::{Duration, Instant};

/// Converts counter differences to nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    nanos_per_tick: f64,
}

impl Timer {
    /// What the timestamps are read from.
    pub const SOURCE: &'static str = if cfg!(target_arch = "x86_64") {
        "fenced rdtsc, calibrated against Instant"
    } else {
        "Instant"
    };

    /// Calibrates for a twentieth of a second.
    pub fn calibrate() -> Self {
        let (start, ticks) = (Instant::now(), now());
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let ticks = now().wrapping_sub(ticks).max(1);
        Self {
            nanos_per_tick: start.elapsed().as_nanos() as f64 / ticks as f64,
        }
    }

    /// Nanoseconds between two readings of [`now`].
    #[inline]
    pub fn nanos(&self, from: u64, to: u64) -> u64 {
        (to.wrapping_sub(from) as f64 * self.nanos_per_tick).round() as u64
    }

    /// The median cost of an empty measurement: part of each latency reported.
    pub fn overhead_nanos(&self) -> u64 {
        let mut samples: Vec<u64> = (0..10_001)
            .map(|_| {
                let from = now();
                self.nanos(from, now())
            })
            .collect();
        samples.sort_unstable();
        samples[samples.len() / 2]
    }
}

/// The current reading, in ticks of [`Timer::SOURCE`].
#[cfg(target_arch = "x86_64")]
#[inline]
pub fn now() -> u64 {
    use std::arch::x86_64::{_mm_lfence, _rdtsc};
    // SAFETY: both instructions belong to the x86-64 baseline (SSE2 and TSC) and touch no memory.
    unsafe {
        _mm_lfence();
        let ticks = _rdtsc();
        _mm_lfence();
        ticks
    }
}

/// The current reading, in ticks of [`Timer::SOURCE`].
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn now() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
