//! The contract of backends, and the backend in memory.

#![cfg(feature = "backend")]

mod budgets;
mod codec;
mod codecs;
#[cfg(feature = "global")]
mod config;
#[cfg(feature = "conformance")]
mod conformance;
#[cfg(feature = "conformance")]
mod conformance_of_wrappers;
mod counters;
mod down;
mod load_many;
mod loads;
mod max_loads;
mod python_entries;
#[cfg(feature = "response")]
mod responses;
mod stats;
mod storing;
mod tags;
mod turns;
mod waits;
#[path = "../support/watchdog.rs"]
mod watchdog;
