//! What a load has of its backend: a reference, or an `Arc`, with which it can go on in the background.

use crate::backend::{CacheBackend, Flights};
use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;

/// What a [`Load`](super::Load) has of its backend. Not to be implemented elsewhere.
pub trait Handle: Debug + Send + Sync + sealed::Sealed {
    /// The backend.
    type Backend: CacheBackend + ?Sized;

    #[doc(hidden)]
    fn backend(&self) -> &Self::Backend;
}

/// A [`Handle`] with which a load can go on in the background.
pub trait SharedHandle: Handle<Backend: 'static> {
    #[doc(hidden)]
    fn shared(&self) -> Arc<Self::Backend>;
}

/// A reference: from [`load_scoped`](crate::CacheBackendExt::load_scoped).
#[derive(Debug)]
pub struct Scoped<'a, B: ?Sized>(pub(in crate::backend) &'a B);

/// A reference to an `Arc`, which is cloned only for a load in the background: from [`load`](crate::CacheBackendExt::load).
#[derive(Debug)]
pub struct Shared<'a, B: ?Sized>(pub(in crate::backend) &'a Arc<B>);

/// A pointer of one's own, to the process's backend.
#[derive(Debug)]
pub struct Own(pub(crate) Arc<Arc<dyn CacheBackend>>);

impl<B: CacheBackend + ?Sized> Handle for Scoped<'_, B> {
    type Backend = B;

    #[inline]
    fn backend(&self) -> &B {
        self.0
    }
}

impl<B: CacheBackend + ?Sized> Handle for Shared<'_, B> {
    type Backend = B;

    #[inline]
    fn backend(&self) -> &B {
        self.0
    }
}

impl<B: CacheBackend + ?Sized + 'static> SharedHandle for Shared<'_, B> {
    fn shared(&self) -> Arc<B> {
        Arc::clone(self.0)
    }
}

impl Handle for Own {
    type Backend = dyn CacheBackend;

    #[inline]
    fn backend(&self) -> &(dyn CacheBackend + 'static) {
        &**self.0
    }
}

impl SharedHandle for Own {
    fn shared(&self) -> Arc<dyn CacheBackend> {
        Arc::clone(&self.0)
    }
}

mod sealed {
    pub trait Sealed {}

    impl<B: ?Sized> Sealed for super::Scoped<'_, B> {}
    impl<B: ?Sized> Sealed for super::Shared<'_, B> {}
    impl Sealed for super::Own {}
}

/// The flights of a backend that is owned.
pub(super) struct FlightsOf<B: ?Sized>(pub(super) Arc<B>);

impl<B: CacheBackend + ?Sized> Deref for FlightsOf<B> {
    type Target = Flights;

    fn deref(&self) -> &Flights {
        self.0.flights()
    }
}
