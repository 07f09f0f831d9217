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
mod table;
mod wheel;

pub(crate) use entry::{Entry, NEVER};
pub(crate) use shard::Leftovers;
pub(crate) use store::{Route, Store};
pub(crate) use table::Hit;
