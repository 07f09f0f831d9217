//! Each thread's record in the process's one domain.

use super::domain::{Domain, Pin, Record};
use std::cell::Cell;

static DOMAIN: Domain = Domain::new();

thread_local! {
    /// No destructor and a constant start: reading it is one load.
    static RECORD: Cell<Option<&'static Record>> = const { Cell::new(None) };
    /// Gives the record back when the thread ends.
    static LEASE: Lease = const { Lease(Cell::new(None)) };
}

struct Lease(Cell<Option<&'static Record>>);

impl Drop for Lease {
    fn drop(&mut self) {
        RECORD.set(None);
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

/// Pins the calling thread.
#[inline(always)]
pub(crate) fn pin() -> Pin<'static> {
    match RECORD.get() {
        Some(record) => record.pin(&DOMAIN),
        None => pin_slow(),
    }
}

/// Gives back a record that was leased for one pin.
#[cold]
pub(super) fn release_lone(record: &Record) {
    DOMAIN.release(record);
}

#[cold]
fn pin_slow() -> Pin<'static> {
    let record = DOMAIN.lease();
    match LEASE.try_with(|lease| lease.0.set(Some(record))) {
        Ok(()) => {
            RECORD.set(Some(record));
            record.pin(&DOMAIN)
        }
        // The thread is ending and its lease is gone: this pin is on its own.
        Err(_) => record.pin(&DOMAIN).and_release(),
    }
}
