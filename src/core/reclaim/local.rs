//! Each thread's record in the process's one domain.

use super::domain::{Domain, Entered};
use super::record::{Pin, Record};
use super::tally::Tally;
use std::cell::Cell;
use std::ptr;

static DOMAIN: Domain = Domain::new();
/// What threads try to pin through that have not leased a record.
static NOBODY: Record = Record::nobody();

thread_local! {
    /// The thread's record, or [`NOBODY`]. No destructor and a constant start: reading it is one load.
    static RECORD: Cell<*const Record> = const { Cell::new(&raw const NOBODY) };
    /// Gives the record back when the thread ends.
    static LEASE: Lease = const { Lease(Cell::new(None)) };
}

struct Lease(Cell<Option<&'static Record>>);

impl Drop for Lease {
    fn drop(&mut self) {
        RECORD.set(&raw const NOBODY);
        if let Some(record) = self.0.take() {
            DOMAIN.release(record);
        }
    }
}

/// The domain that [`pin`] pins in.
#[inline(always)]
pub(crate) fn domain() -> &'static Domain {
    &DOMAIN
}

/// Counters of hits and misses, for those who [`pin`].
pub(crate) fn tally() -> Tally {
    Tally::new(&DOMAIN)
}

/// Pins the calling thread.
#[inline(always)]
pub(crate) fn pin() -> Pin<'static> {
    // SAFETY: `NOBODY`, or a record of `DOMAIN`: both are static.
    let record: &'static Record = unsafe { &*RECORD.get() };
    record
        .try_pin(&DOMAIN)
        .unwrap_or_else(|entered| pin_slow(record, entered))
}

#[cold]
fn pin_slow(record: &'static Record, entered: Entered) -> Pin<'static> {
    if !ptr::eq(record, &NOBODY) {
        return record.pin_slow(entered);
    }
    let leased = LEASE.try_with(|lease| {
        let record = DOMAIN.lease();
        lease.0.set(Some(record));
        record
    });
    match leased {
        Ok(record) => {
            RECORD.set(record);
            record.pin(&DOMAIN)
        }
        // The thread is ending and its lease is gone: this pin is on its own.
        Err(_) => DOMAIN.lease_for_one_pin().pin(&DOMAIN).and_abandon(),
    }
}
