//! The child of a fork, which has its parent's memory and none of its threads. The only test of this file: no other thread is
//! to be in the middle of something.
#![cfg(all(feature = "redis", unix))]

#[path = "support/redis.rs"]
mod server;
#[path = "support/watchdog.rs"]
mod watchdog;

use nori_cache::{CacheBackendExt, RedisCacheBackend, Ttl};
use server::Server;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use watchdog::{block_on, ends};

/// Works in the end: the connection of the parent is of no use to the child, which has to find out.
fn counts(backend: &RedisCacheBackend) -> std::io::Result<()> {
    loop {
        match block_on(backend.incr("n", Ttl::Never)) {
            Ok(_) => return Ok(()),
            Err(error) if error.is_timeout() || error.is_connection() => {}
            Err(error) => return Err(std::io::Error::other(error)),
        }
    }
}

#[test]
fn a_child_gets_threads_and_a_connection_of_its_own() {
    let server = Server::start();
    let builder = RedisCacheBackend::builder().url(server.url());
    // The child's first call uses it up.
    let builder = builder.timeout(Duration::from_millis(200));
    let backend = Arc::new(builder.build().unwrap());
    let (first, child) = (Arc::clone(&backend), Arc::clone(&backend));
    ends(move || {
        counts(&first).unwrap();
        let mut command = Command::new("true");
        // SAFETY: what the closure takes of its parent are locks that nobody holds: those of the allocator, which glibc sees to,
        // and the backend's, which nobody uses just now.
        unsafe { command.pre_exec(move || counts(&child)) };
        let status = command.status().unwrap();
        assert!(status.success(), "{status}");
    });
    assert!(server.ask(&["GET", "cache:n"]).parse::<u64>().unwrap() >= 2);
    // The parent has lost nothing.
    ends(move || counts(&backend).unwrap());
}
