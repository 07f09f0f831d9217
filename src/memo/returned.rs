//! [`Returned`]: what kind of type a function returns.

use std::marker::PhantomData;

/// Stands for the type that a function returns. What is done with it depends on that type, which is always a concrete one: methods and
/// constants of the same name are there for several kinds of type, and the compiler takes the most special.
#[derive(Debug)]
pub struct Returned<R>(PhantomData<fn() -> R>);

impl<R> Returned<R> {
    /// The type, as something that has methods.
    pub const TYPE: Self = Self(PhantomData);
}

impl<T, E> Returned<Result<T, E>> {
    /// An inherent constant, so it is taken before [`NotResult`]'s.
    pub const IS_RESULT: bool = true;
}

/// What is there for every type.
pub trait NotResult {
    /// Whether it is a `Result`.
    const IS_RESULT: bool = false;
}

impl<R> NotResult for Returned<R> {}
