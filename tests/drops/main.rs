//! What is dropped and when, with user code that stands still, panics or calls back. A reader in one cache holds up drops in all
//! caches of its process, so these tests have a process of their own.

mod drops;
mod panics;
mod reentrancy;
mod stalled_threads;
#[path = "../support/mod.rs"]
mod support;
