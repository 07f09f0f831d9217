//! What a thread itself writes while the closure of its update runs.
//!
//! An update is optimistic: it runs its closure again if the key has changed meanwhile. A closure that writes the key at each
//! run would run for ever. So the thread's own writes are told from those of others, by the ids that they file: an id stays the same
//! entry's for as long as its slot is held, which it is until the update is done.
//!
//! Each closure under way has a [`Watch`] on its thread's stack; a thread-local leads to the innermost, and each to the next.

use super::index::Route;
use super::reclaim::{self, Hold};
use super::store::Store;
use super::write::Write;
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
    filed: RefCell<Vec<Filed>>,
    outer: *const Self,
}

/// What a thread has filed while the closure of its update ran, which is held.
#[derive(Debug)]
pub(crate) struct Own(Vec<Filed>);

#[derive(Debug)]
struct Filed {
    id: u32,
    _hold: Hold<'static>,
}

impl Own {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.0.iter().any(|filed| filed.id == id)
    }
}

/// Runs `f`, and returns with its result what this thread has filed meanwhile, under the key's hash.
#[inline(always)]
pub(crate) fn watched<K, V, R>(
    store: &Store<K, V>,
    route: Route,
    f: impl FnOnce() -> R,
) -> (R, Own) {
    let watch = Watch {
        store: ptr::from_ref(store).addr(),
        hash: route.spread(),
        filed: RefCell::new(Vec::new()),
        outer: INNERMOST.get(),
    };
    INNERMOST.set(&raw const watch);
    let leave = Leave(&watch);
    let result = f();
    drop(leave);
    (result, Own(watch.filed.into_inner()))
}

/// Makes the next outer watch the innermost again, also when a closure panics.
struct Leave<'w>(&'w Watch);

impl Drop for Leave<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        INNERMOST.set(self.0.outer);
    }
}

/// Makes known to this thread's updates what it has filed, as long as the write is not over.
#[inline(always)]
pub(crate) fn filed<K, V>(write: &Write<'_, K, V>, route: Route, id: u32) {
    let watch = INNERMOST.get();
    if !watch.is_null() {
        filed_slow(watch, write, route, id);
    }
}

#[cold]
fn filed_slow<K, V>(mut watch: *const Watch, write: &Write<'_, K, V>, route: Route, id: u32) {
    let store = write.store();
    // Inside of the write's, under which the id stands for the entry that it has filed.
    let pin = reclaim::pin();
    // SAFETY: a watch that the thread-local leads to lies in a call of `watched` that this thread is in, and is borrowed by its
    // `Leave`, which takes it out of the thread-local before it goes. The same holds for those further out.
    while let Some(it) = unsafe { watch.as_ref() } {
        if (it.store, it.hash) == (ptr::from_ref(store).addr(), route.spread()) {
            let mut filed = it.filed.borrow_mut();
            // What has been replaced since is not worth a hold.
            filed.retain(|old| store.is_filed(&pin, route, old.id));
            filed.push(Filed {
                id,
                _hold: store.hold_too(&pin, route, id),
            });
        }
        watch = it.outer;
    }
}
