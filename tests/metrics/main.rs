//! What is published through the facade `metrics`: the names, by a scenario that makes all of them; the page and the dashboard that
//! name them; and that numbers are what caches count.

#![cfg(all(feature = "metrics", feature = "redis", feature = "response"))]

mod numbers;
mod pages;
mod recorder;
mod scenario;
#[path = "../support/scripted.rs"]
mod scripted;
#[path = "../support/response/mod.rs"]
mod support;
#[path = "../support/watchdog.rs"]
mod watchdog;
