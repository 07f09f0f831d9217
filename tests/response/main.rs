//! The response layer, in memory.

#![cfg(feature = "response")]

mod authority;
mod axum;
mod bodies;
mod coalescing;
mod content;
mod detached;
mod detached_limits;
mod disconnects;
#[cfg(feature = "global")]
mod example;
mod extremes;
mod forgotten_purges;
mod headers;
mod invalidations;
mod keys;
mod kinds;
mod lost_purges;
mod over_http;
mod own_keys;
mod planted;
mod poison;
mod purge_races;
mod purges;
mod queries;
mod refreshes;
mod refusals;
mod rfc9111_updates;
mod rfc9111_vary;
mod rfc9213;
mod safety;
#[path = "../support/response/mod.rs"]
mod support;
mod tag_versions;
mod tags;
mod timed;
mod unparsable;
