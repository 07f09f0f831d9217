//! The monotonic clock in milliseconds, for a fraction of what reading it costs.
//!
//! Reading a precise clock takes longer than linking an entry does. Most writes come right behind another one, and the
//! processor's cycle counter tells cheaply that they do: until it has moved so far that the clock's next millisecond may have
//! begun, the thread's last reading of the clock serves.

use super::coarse::precise_nanos;
use crate::arch::cycles;
use std::cell::Cell;

/// To a millisecond.
const NANOS: u64 = 1_000_000;

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

/// The monotonic clock in whole milliseconds.
#[inline(always)]
pub(crate) fn millis() -> u64 {
    let Some(cycles) = cycles::now() else {
        return precise_nanos() / NANOS;
    };
    let last = LAST.get();
    // A counter that was set back is far ahead of itself.
    if cycles.wrapping_sub(last.cycles) < last.serves {
        return last.millis;
    }
    read(cycles)
}

/// The counter was read before the clock.
#[cold]
fn read(cycles: u64) -> u64 {
    let nanos = precise_nanos();
    let (millis, left) = (nanos / NANOS, NANOS - nanos % NANOS);
    if cycles::is_steady() {
        LAST.set(Reading {
            cycles,
            serves: left / cycles::NANOS_PER_CYCLE,
            millis,
        });
    }
    millis
}
