//! What processors and operating systems have beyond the standard library, and nothing that is a cache's own.
//!
//! Nothing here imports from the crate. Together with `core` it holds all `unsafe` of the crate. Each file has a second
//! version of what it offers, for where there is no such thing; `--cfg nori_portable` selects those anywhere.

pub(crate) mod cycles;
pub(crate) mod membarrier;
pub(crate) mod prefetch;
