//! What is asked of the allocator. It counts for the whole process, so these tests have one of their own.

#[cfg(feature = "global")]
mod backend;
mod cache;
#[cfg(feature = "zstd")]
mod codecs;
#[path = "../support/counting.rs"]
mod counting;
#[cfg(feature = "response")]
mod response;
#[cfg(feature = "response")]
mod response_memory;
#[cfg(feature = "response")]
#[path = "../support/response/mod.rs"]
mod support;

use tokio::sync::Mutex;

/// One test at a time: a thread that is preempted in the middle of a read holds up what others could use again.
static TURN: Mutex<()> = Mutex::const_new(());
