//! The response layer, in memory.

#![cfg(feature = "response")]

mod axum;
mod bodies;
mod coalescing;
mod detached;
#[cfg(feature = "global")]
mod example;
mod headers;
mod keys;
mod over_http;
mod purges;
mod rfc9111_updates;
mod rfc9111_vary;
mod rfc9213;
mod safety;
#[path = "../support/response/mod.rs"]
mod support;
mod timed;
