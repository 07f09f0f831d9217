//! The backend on Redis, on real servers.

#![cfg(feature = "redis")]

mod cluster;
#[cfg(feature = "conformance")]
mod conformance;
mod contract;
mod faults;
mod secrets;
#[path = "../support/redis.rs"]
mod server;
#[cfg(feature = "redis-tls")]
mod tls;
#[path = "../support/within.rs"]
mod within;
