//! A real Redis, and a world on it.

#[path = "../../redis.rs"]
pub mod server;

use self::server::Server;
use crate::support::World;
use nori_cache::{ManualClock, RedisCacheBackend};
use std::cell::{Cell, OnceCell};
use std::sync::Arc;
use std::time::Duration;

/// Whether the tests that are compiled here run on it.
pub const IS_USED: bool = is_same(env!("CARGO_CRATE_NAME"), "response_redis");

const fn is_same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

thread_local! {
    /// That of the test that runs on this thread; it ends with it.
    static SERVER: OnceCell<Server> = const { OnceCell::new() };
    static WORLDS: Cell<u32> = const { Cell::new(0) };
}

/// A world of its own on this test's server.
pub fn world() -> World {
    let nth = WORLDS.replace(WORLDS.get() + 1);
    let url = SERVER.with(|server| server.get_or_init(Server::start).url());
    World {
        clock: ManualClock::new(),
        backend: backend(&url, &format!("world {nth}:")),
    }
}

/// A connection.
pub fn backend(url: &str, prefix: &str) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).prefix(prefix);
    // A budget that holds on a busy machine, too.
    let builder = builder.timeout(Duration::from_secs(60));
    Arc::new(builder.build().unwrap())
}
