//! loom's fence, as a point of its own in an interleaving: other threads may run between an operation and the fence behind it.
//! loom itself lets them run only before operations, and takes no notice of the order of fences.

use loom::sync::atomic::{self, AtomicUsize, Ordering};

loom::lazy_static! {
    /// What fences contend for.
    static ref FENCES: AtomicUsize = AtomicUsize::new(0);
}

pub(crate) fn fence(ordering: Ordering) {
    // Relaxed: it orders nothing.
    FENCES.fetch_add(1, Ordering::Relaxed);
    atomic::fence(ordering);
}
