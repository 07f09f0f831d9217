//! loom's atomics, with what a model of reclamation needs besides.
//!
//! - The end of an atomic's life is an access like any other, so a thread that uses it later, or at the same time, is found
//!   out ([`check_ends`]).
//! - A barrier that another thread has asked for takes effect before the next operation.
//! - Stores can be made exchanges ([`exchange_stores`]). loom's modification order is partial: an exchange and a store of
//!   another thread may come in either order even if the exchange read what was there before the store, where in C11
//!   nothing can come between what an exchange reads and what it writes.

use crate::barrier;
use loom::sync::atomic as its;
use std::cell::Cell;
use std::ops::Deref;

pub(crate) use crate::fence::fence;
pub(crate) use its::Ordering;

pub(crate) type AtomicBool = Traced<its::AtomicBool>;
pub(crate) type AtomicPtr<T> = Traced<its::AtomicPtr<T>>;
pub(crate) type AtomicU32 = Traced<its::AtomicU32>;
pub(crate) type AtomicU64 = Traced<its::AtomicU64>;
pub(crate) type AtomicUsize = Traced<its::AtomicUsize>;

/// Nothing: loom does not move operations past each other, it only lets loads return old values.
pub(crate) fn compiler_fence(_ordering: Ordering) {}

/// See the module.
#[derive(Debug)]
pub(crate) struct Traced<A: Atomic>(A);

/// What [`Traced`] needs to know of an atomic.
pub(crate) trait Atomic {
    type Value;

    fn new(value: Self::Value) -> Self;

    /// An access that must be ordered after all others.
    fn end(&mut self);
}

macro_rules! atomic {
    ($($name:ident $(<$t:ident>)? of $value:ty, ended by $end:expr;)*) => {$(
        impl $(<$t>)? Atomic for its::$name $(<$t>)? {
            type Value = $value;

            fn new(value: $value) -> Self {
                Self::new(value)
            }

            fn end(&mut self) {
                $end(self);
            }
        }
    )*};
}

atomic! {
    // SAFETY: `unsync_load` only asks that nobody stores at the same time, and loom reports who does.
    AtomicBool of bool, ended by |it: &mut Self| unsafe { it.unsync_load() };
    AtomicPtr<T> of *mut T, ended by |it: &mut Self| it.with_mut(|_| ());
    AtomicU32 of u32, ended by |it: &mut Self| it.with_mut(|_| ());
    AtomicU64 of u64, ended by |it: &mut Self| it.with_mut(|_| ());
    AtomicUsize of usize, ended by |it: &mut Self| it.with_mut(|_| ());
}

impl<A: Atomic> Default for Traced<A>
where
    A::Value: Default,
{
    fn default() -> Self {
        Self::new(A::Value::default())
    }
}

impl<A: Atomic> Traced<A> {
    pub(crate) fn new(value: A::Value) -> Self {
        Self(A::new(value))
    }
}

thread_local! {
    static ENDS_CHECKED: Cell<bool> = const { Cell::new(true) };
    static STORES_EXCHANGE: Cell<bool> = const { Cell::new(false) };
}

/// Whether the end of an atomic's life counts as an access from now on: not where something decides about it that loom does not
/// see.
pub(crate) fn check_ends(on: bool) {
    ENDS_CHECKED.set(on);
}

/// Whether the stores to an [`AtomicU64`] are exchanges from now on: for models in which one thread relies on an exchange
/// by another. It hides missing orderings of these stores, which other models see.
pub(crate) fn exchange_stores(on: bool) {
    STORES_EXCHANGE.set(on);
}

impl Traced<its::AtomicU64> {
    pub(crate) fn store(&self, value: u64, ordering: Ordering) {
        if STORES_EXCHANGE.get() {
            self.swap(value, ordering);
        } else {
            self.deref().store(value, ordering);
        }
    }
}

/// Every other operation passes here.
impl<A: Atomic> Deref for Traced<A> {
    type Target = A;

    fn deref(&self) -> &A {
        barrier::checkpoint();
        &self.0
    }
}

impl<A: Atomic> Drop for Traced<A> {
    fn drop(&mut self) {
        if ENDS_CHECKED.get() && !std::thread::panicking() {
            self.0.end();
        }
    }
}
