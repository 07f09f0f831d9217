//! loom's atomics, with two additions: the end of an atomic's life is an access like any other, so a thread that uses it
//! later, or at the same time, is found out; and a barrier that another thread has asked for takes effect before the next
//! operation.

use crate::barrier;
use loom::sync::atomic as its;
use std::ops::Deref;

pub(crate) use its::{Ordering, fence};

pub(crate) type AtomicBool = Traced<its::AtomicBool>;
pub(crate) type AtomicPtr<T> = Traced<its::AtomicPtr<T>>;
pub(crate) type AtomicU32 = Traced<its::AtomicU32>;
pub(crate) type AtomicU64 = Traced<its::AtomicU64>;
pub(crate) type AtomicUsize = Traced<its::AtomicUsize>;

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
    ($($name:ident $(<$t:ident>)? of $value:ty;)*) => {$(
        impl $(<$t>)? Atomic for its::$name $(<$t>)? {
            type Value = $value;

            fn new(value: $value) -> Self {
                Self::new(value)
            }

            fn end(&mut self) {
                self.with_mut(|_| ());
            }
        }
    )*};
}

atomic! {
    AtomicBool of bool;
    AtomicPtr<T> of *mut T;
    AtomicU32 of u32;
    AtomicU64 of u64;
    AtomicUsize of usize;
}

impl<A: Atomic> Traced<A> {
    pub(crate) fn new(value: A::Value) -> Self {
        Self(A::new(value))
    }
}

/// Every operation passes here.
impl<A: Atomic> Deref for Traced<A> {
    type Target = A;

    fn deref(&self) -> &A {
        barrier::checkpoint();
        &self.0
    }
}

impl<A: Atomic> Drop for Traced<A> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.end();
        }
    }
}
