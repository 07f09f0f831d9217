//! What a thread itself writes while the closure of its update runs.
//!
//! An update is optimistic: it runs its closure again if the key has changed meanwhile. A closure that writes the key at each
//! run would run for ever. So the thread's own writes are told from those of others, by the ids that they file: an id stays the same
//! entry's for as long as its slot is held, which it is until the update is done.
//!
//! Each closure under way has a [`Watch`] on its thread's stack; a thread-local leads to the innermost, and each to the next.

use super::reclaim::{Hold, Pin};
use super::store::{Route, Store};
use std::cell::{Cell, RefCell};
use std::ptr;

thread_local! {
    /// The innermost watch; null outside updates. No destructor and a constant start: reading it is one load.
    static INNERMOST: Cell<*const Watch> = const { Cell::new(ptr::null()) };
}

/// The writes of one key: of its fragment, that is, in one store, told by its address.
#[derive(Debug)]
struct Watch {
    store: usize,
    fragment: u32,
    filed: RefCell<Vec<Filed>>,
    outer: *const Self,
}

/// An entry that the thread has filed, and holds.
#[derive(Debug)]
pub(crate) struct Filed {
    pub(crate) id: u32,
    _hold: Hold<'static>,
}

/// Runs `f`, and returns with its result what this thread has filed meanwhile, under the route's fragment.
#[inline(always)]
pub(crate) fn watched<K, V, R>(
    store: &Store<K, V>,
    route: Route,
    f: impl FnOnce() -> R,
) -> (R, Vec<Filed>) {
    let watch = Watch {
        store: ptr::from_ref(store).addr(),
        fragment: route.fragment.get(),
        filed: RefCell::new(Vec::new()),
        outer: INNERMOST.get(),
    };
    INNERMOST.set(&raw const watch);
    let leave = Leave(&watch);
    let result = f();
    drop(leave);
    (result, watch.filed.into_inner())
}

/// Makes the next outer watch the innermost again, also when a closure panics.
struct Leave<'w>(&'w Watch);

impl Drop for Leave<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        INNERMOST.set(self.0.outer);
    }
}

/// Makes known to this thread's updates what it has filed, under this pin.
#[inline(always)]
pub(crate) fn filed<K, V>(store: &Store<K, V>, route: Route, id: u32, pin: &Pin<'static>) {
    let watch = INNERMOST.get();
    if !watch.is_null() {
        filed_slow(watch, store, route, id, pin);
    }
}

#[cold]
fn filed_slow<K, V>(
    mut watch: *const Watch,
    store: &Store<K, V>,
    route: Route,
    id: u32,
    pin: &Pin<'static>,
) {
    let key = (ptr::from_ref(store).addr(), route.fragment.get());
    // SAFETY: a watch that the thread-local leads to lies in a call of `watched` that this thread is in, and is borrowed by its
    // `Leave`, which takes it out of the thread-local before it goes. The same holds for those further out.
    while let Some(it) = unsafe { watch.as_ref() } {
        if (it.store, it.fragment) == key {
            let mut filed = it.filed.borrow_mut();
            // What has been replaced since is not worth a hold.
            filed.retain(|old| store.is_filed(pin, route, old.id));
            filed.push(Filed {
                id,
                _hold: store.hold_too(pin, route, id),
            });
        }
        watch = it.outer;
    }
}
