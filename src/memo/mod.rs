//! What functions under [`#[cached]`](macro@crate::cached) call. Not an API: it changes with the macro.
//!
//! The macro writes down what only it knows: names, types and the order of arguments. What happens is said here, in functions, where
//! the compiler checks it once.
//!
//! | file | what is in it |
//! |---|---|
//! | `key` | [`Key`]: string keys from templates, which no two lists of arguments share |
//! | `returned` | [`Returned`]: what kind of type a function returns |
//! | `plain` | functions, over a typed cache |
//! | `asynchronous` | `async` functions, over a backend |
//! | `event` | what is told to `tracing` |
//!
//! One rule holds in all of it: a cached function answers as the function itself would. Whatever the cache fails with, the function
//! runs.

#[cfg(feature = "backend")]
mod asynchronous;
#[cfg(feature = "backend")]
mod event;
mod key;
mod plain;
mod returned;

#[cfg(feature = "global")]
pub use asynchronous::process_backend;
#[cfg(feature = "backend")]
pub use asynchronous::{
    Backend, ErrorsOfOthers, Keep, ResultKind, Results, Share, SharedResultKind, ValueKind, Values,
};
pub use key::{Key, KeyPart};
pub use plain::{cache, result, value};
pub use returned::{NotResult, Returned};
