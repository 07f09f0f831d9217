//! The concurrent core: all `unsafe` of the crate, no async, no serde, no features.
mod budget;
mod entry;
mod index;
mod limbo;
mod links;
mod list;
mod prefetch;
pub(crate) mod reclaim;
mod shard;
mod slab;
mod store;
mod wheel;

pub(crate) use entry::{Entry, Meta, NEVER};
pub(crate) use index::Fragment;
pub(crate) use shard::{Hit, Leftovers, Shard};
pub(crate) use store::{Hash, Store};
