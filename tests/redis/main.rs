//! The backend on Redis, on real servers.

#![cfg(feature = "redis")]

mod breaks;
mod cluster;
#[cfg(feature = "conformance")]
mod conformance;
mod contract;
mod faults;
mod refusals;
mod runtimes;
#[path = "../support/scripted.rs"]
mod scripted;
mod secrets;
#[path = "../support/redis.rs"]
mod server;
#[cfg(feature = "redis-tls")]
mod tls;
#[path = "../support/watchdog.rs"]
mod watchdog;
#[path = "../support/within.rs"]
mod within;
