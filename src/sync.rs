//! The only file that names the standard library's (or loom's) atomics, cells and locks, and what others make of them: a table,
//! and a bell.
//!
//! Everything else says `use crate::sync::…`, so the whole core runs unchanged under the loom model checker
//! (`--cfg nori_loom`), and with it what else threads do at once: loads, counters, flights. Both sides have the same
//! shape: a lock without poisoning, and an [`UnsafeCell`] that hands out raw pointers to a closure so that loom can see
//! each access.

pub(crate) use imp::*;

#[cfg(not(nori_loom))]
mod imp {
    #[cfg(feature = "backend")]
    pub(crate) use dashmap::{DashMap, Entry};
    pub(crate) use parking_lot::{Mutex, MutexGuard};
    #[cfg(feature = "backend")]
    pub(crate) use std::sync::OnceLock;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
    };
    pub(crate) use std::thread;
    #[cfg(any(feature = "redis", feature = "tower"))]
    pub(crate) use tokio::sync::Notify;

    /// [`std::cell::UnsafeCell`] with loom's closure interface.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    /// A number that only the holder of some lock looks at. A relaxed atomic, so that a mistake would be no data race on the
    /// number itself; what it leads to is right only under the lock. The model checker sees it as a plain cell, and reports
    /// one.
    #[derive(Debug)]
    pub(crate) struct Guarded(AtomicU32);

    impl Guarded {
        #[inline(always)]
        pub(crate) fn new(value: u32) -> Self {
            Self(AtomicU32::new(value))
        }

        #[inline(always)]
        pub(crate) fn get(&self) -> u32 {
            // Relaxed, both: the lock orders it.
            self.0.load(Ordering::Relaxed)
        }

        #[inline(always)]
        pub(crate) fn set(&self, value: u32) {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    /// [`parking_lot::Condvar`] with the standard library's interface, but no poisoning.
    #[derive(Debug)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(parking_lot::Condvar::new())
        }

        pub(crate) fn wait<'m, T>(&self, mut guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
            self.0.wait(&mut guard);
            guard
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

#[cfg(nori_loom)]
mod imp {
    pub(crate) use crate::atomics::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
    };
    pub(crate) use crate::notify::Notify;
    pub(crate) use crate::once::OnceLock;
    pub(crate) use crate::table::{DashMap, Entry};
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::MutexGuard;
    pub(crate) use loom::thread;

    /// A number that only the holder of some lock looks at; loom reports who does not hold it.
    #[derive(Debug)]
    pub(crate) struct Guarded(loom::cell::Cell<u32>);

    impl Guarded {
        pub(crate) fn new(value: u32) -> Self {
            Self(loom::cell::Cell::new(value))
        }

        pub(crate) fn get(&self) -> u32 {
            self.0.get()
        }

        pub(crate) fn set(&self, value: u32) {
            self.0.set(value);
        }
    }

    // SAFETY: loom's cell checks that no two threads use it at the same time, which is what the lock is for.
    unsafe impl Sync for Guarded {}

    /// loom's mutex with parking_lot's interface: locking cannot fail.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    /// loom's, with no poisoning.
    #[derive(Debug)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn new() -> Self {
            Self(loom::sync::Condvar::new())
        }

        pub(crate) fn wait<'m, T>(&self, guard: MutexGuard<'m, T>) -> MutexGuard<'m, T> {
            self.0
                .wait(guard)
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        pub(crate) fn notify_one(&self) {
            self.0.notify_one();
        }
    }

    impl<T: Default> Default for Mutex<T> {
        fn default() -> Self {
            Self::new(T::default())
        }
    }

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}

/// Keeps a value on cache lines of its own: 128 bytes, because x86 prefetches lines in pairs and Apple's are that long.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);

impl<T> std::ops::Deref for CachePadded<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
