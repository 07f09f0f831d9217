//! Measurements of `nori-cache` beside the caches and maps one would use instead of it.
//!
//! # How a number comes about
//!
//! Every rival stands behind one trait, [`Subject`], so that all of them run the very same monomorphised loops. A subject
//! is a *handle*: its methods take `&mut self` and each thread owns a handle of its own, made by [`Subject::share`]. That is
//! how shared caches are used in a service, and it lets an unsynchronised `HashMap` (the floor) stand in the same row without
//! locks: it simply cannot be shared and therefore runs with one thread only.
//!
//! A *cell* is one subject under one workload with one number of threads. Requests are generated before the clock
//! starts: a cell walks over an array of ready-made keys in request order, as a service sees them (the key of a request has
//! just been parsed, so reading it is not part of the lookup). What a cache must own is made inside the measured loop, for
//! everyone alike: an insert clones the `String` and allocates the value. All threads warm up, meet at a barrier and then run
//! until told to stop.
//!
//! [`runner`] interleaves: every round runs every subject once and the order rotates, so that a slow minute of
//! the machine hits everyone. Medians over the rounds are reported, and ratios of medians.
//!
//! # What is fair here, and what is not
//!
//! * `nori-cache` runs with a time to live on every entry; no rival does, and several could not.
//! * Everything that accepts a hasher gets [`hasher`]; the adapters say where it cannot be chosen.
//! * `get` clones the value for everybody, also where a rival hands out a guard.
//! * Maps that never evict (hashbrown, dashmap, papaya) do less work; they are left out where eviction is the point.
//! * The reported hit ratio belongs to the number: a cache that admits fewer keys has less to do.

#![deny(unsafe_code)]
#![warn(missing_docs)]

#[cfg(feature = "rivals")]
pub mod alloc_counter;
#[cfg(feature = "rivals")]
pub mod runner;
mod subject;
pub mod subjects;
#[cfg(feature = "rivals")]
pub mod timer;
#[cfg(feature = "rivals")]
pub mod trace;
pub mod workload;

pub use subject::{Key, Profile, Subject, Value};

/// ahash with the same seeds in every run: counts of instructions depend on them.
pub fn hasher() -> ahash::RandomState {
    ahash::RandomState::with_seeds(1, 2, 3, 4)
}
