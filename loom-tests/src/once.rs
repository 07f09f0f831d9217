//! The standard library's `OnceLock`, with what loom must see of it.

use crate::sync::{AtomicBool, Ordering};
use std::sync::OnceLock as Its;

/// See the module.
#[derive(Debug)]
pub(crate) struct OnceLock<T> {
    cell: Its<T>,
    is_set: AtomicBool,
}

impl<T> OnceLock<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        self.is_set
            .load(Ordering::Acquire)
            .then(|| self.cell.get())
            .flatten()
    }

    pub(crate) fn set(&self, value: T) -> Result<(), T> {
        let set = self.cell.set(value);
        self.is_set.swap(true, Ordering::AcqRel);
        set
    }

    pub(crate) fn get_or_init(&self, init: impl FnOnce() -> T) -> &T {
        self.is_set.swap(true, Ordering::AcqRel);
        self.cell.get_or_init(init)
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self {
            cell: Its::new(),
            is_set: AtomicBool::default(),
        }
    }
}
