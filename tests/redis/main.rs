//! The backend on Redis: on scripted servers in this process, which do what a test says and know no clock, and on real ones, for
//! what only they can show.

#![cfg(feature = "redis")]

mod breaks;
mod cluster;
mod codecs;
#[cfg(feature = "conformance")]
mod conformance;
mod contract;
mod faults;
mod fleet;
mod fleet_processes;
mod links;
mod load_many;
mod loads;
mod nodes;
mod outages;
mod rejections;
mod runtimes;
#[path = "../support/scripted.rs"]
mod scripted;
mod secrets;
#[path = "../support/redis.rs"]
mod server;
mod stats;
mod tags;
#[cfg(feature = "redis-tls")]
mod tls;
#[path = "../support/watchdog.rs"]
mod watchdog;
