//! What a thread itself writes while the closure of its update runs.
//!
//! An update is optimistic: it runs its closure again if the key has changed meanwhile. A closure that writes the key at each
//! run would run for ever. So the thread's own writes are told from those of others, by the ids that they file: an id stays the same
//! entry's for as long as the thread is pinned, which it is while the closure runs.
//!
//! Each closure under way has a [`Watch`] on its thread's stack; a thread-local leads to the innermost, and each to the next.

use super::index::Route;
use super::store::Store;
use std::cell::{Cell, RefCell};
use std::ptr;

thread_local! {
    /// The innermost watch; null outside updates. No destructor and a constant start: reading it is one load.
    static INNERMOST: Cell<*const Watch> = const { Cell::new(ptr::null()) };
}

/// The writes of one key: of its hash, that is, in one store, told by its address.
#[derive(Debug)]
struct Watch {
    store: usize,
    hash: u64,
    ids: RefCell<Vec<u32>>,
    outer: *const Self,
}

/// Runs `f`, and returns with its result the ids that this thread has filed meanwhile, under the key's hash.
#[inline(always)]
pub(crate) fn watched<K, V, R>(
    store: &Store<K, V>,
    route: Route,
    f: impl FnOnce() -> R,
) -> (R, Vec<u32>) {
    let watch = Watch {
        store: ptr::from_ref(store).addr(),
        hash: route.spread(),
        ids: RefCell::new(Vec::new()),
        outer: INNERMOST.get(),
    };
    INNERMOST.set(&raw const watch);
    let leave = Leave(&watch);
    let result = f();
    drop(leave);
    (result, watch.ids.into_inner())
}

/// Makes the next outer watch the innermost again, also when a closure panics.
struct Leave<'w>(&'w Watch);

impl Drop for Leave<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        INNERMOST.set(self.0.outer);
    }
}

/// Makes known to this thread's updates what it has filed.
#[inline(always)]
pub(crate) fn filed<K, V>(store: &Store<K, V>, route: Route, id: u32) {
    let watch = INNERMOST.get();
    if !watch.is_null() {
        filed_slow(watch, ptr::from_ref(store).addr(), route.spread(), id);
    }
}

#[cold]
fn filed_slow(mut watch: *const Watch, store: usize, hash: u64, id: u32) {
    // SAFETY: a watch that the thread-local leads to lies in a call of `watched` that this thread is in, and is borrowed by its
    // `Leave`, which takes it out of the thread-local before it goes. The same holds for those further out.
    while let Some(it) = unsafe { watch.as_ref() } {
        if (it.store, it.hash) == (store, hash) {
            it.ids.borrow_mut().push(id);
        }
        watch = it.outer;
    }
}
