//! Values that are counted: none may be dropped twice, lost, or looked at after its drop.

use serde_core::{Serialize, Serializer};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Counts the values that were made and dropped.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    next: Cell<u32>,
    /// How many values there are of each serial number.
    copies: RefCell<Vec<u32>>,
}

/// A value with a serial number of its own; clones have the same.
#[derive(Debug)]
pub(super) struct Value {
    /// On the heap, for an address sanitizer to guard.
    serial: Box<u32>,
    ledger: Rc<Ledger>,
}

impl Ledger {
    pub(super) fn value(self: &Rc<Self>) -> Value {
        let serial = self.next.get();
        self.next.set(serial + 1);
        self.copies.borrow_mut().push(1);
        Value {
            serial: Box::new(serial),
            ledger: Rc::clone(self),
        }
    }

    /// How many values exist.
    pub(super) fn alive(&self) -> usize {
        self.copies.borrow().iter().map(|&n| n as usize).sum()
    }

    pub(super) fn is_alive(&self, serial: u32) -> bool {
        self.copies.borrow()[serial as usize] != 0
    }
}

impl Value {
    pub(super) fn serial(&self) -> u32 {
        assert!(self.ledger.is_alive(*self.serial), "read after its drop");
        *self.serial
    }
}

/// As its serial number.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.serial())
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        let serial = self.serial() as usize;
        self.ledger.copies.borrow_mut()[serial] += 1;
        Self {
            serial: self.serial.clone(),
            ledger: Rc::clone(&self.ledger),
        }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let copies = &mut self.ledger.copies.borrow_mut()[*self.serial as usize];
        *copies = copies.checked_sub(1).expect("dropped twice");
    }
}
