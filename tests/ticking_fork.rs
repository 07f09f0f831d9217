//! A ticking clock in the child of a fork, which has its parent's memory and none of its threads. The only test of this file: no
//! other thread is to be in the middle of something.
#![cfg(unix)]

use nori_cache::{Cache, Clock};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// Reads until the key has expired: nothing else is done meanwhile.
fn expires(cache: &Cache<u64, u64>, key: u64) {
    while cache.get(&key).is_some() {
        thread::yield_now();
    }
}

#[test]
fn a_child_s_first_writes_give_its_clock_a_thread() {
    let cache: Cache<u64, u64> = Cache::builder()
        .ttl(Duration::from_millis(30))
        .clock(Clock::ticking(Duration::from_millis(1)))
        .build()
        .unwrap();
    cache.insert(1, 1);
    let child = cache.clone();
    let mut command = Command::new("true");
    // SAFETY: what the closure takes of its parent are locks that nobody holds: those of the allocator, which glibc sees to, and
    // the cache's, which nobody uses just now.
    unsafe {
        command.pre_exec(move || {
            // Nobody tells reads the time, until a write finds out.
            while child.get(&1).is_some() {
                child.insert(2, 2);
            }
            child.insert(3, 3);
            expires(&child, 3);
            Ok(())
        });
    }
    let status = command.status().unwrap();
    assert!(status.success(), "{status}");
    // The parent's goes on.
    cache.insert(4, 4);
    expires(&cache, 4);
}
