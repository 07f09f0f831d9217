//! The layer on a real Redis: the cases of the other files once more, and what only a server that is elsewhere can show.

#![cfg(all(feature = "redis", feature = "response"))]
#![allow(
    clippy::duplicate_mod,
    reason = "the files with the cases are test crates of their own too, each with what they share"
)]

mod entries;
mod outages;
mod processes;
#[path = "../response/mod.rs"]
mod response;
#[path = "../common/within.rs"]
mod within;

#[path = "../response_authority.rs"]
mod authority;
#[path = "../response_bodies.rs"]
mod bodies;
#[path = "../response_content.rs"]
mod content;
#[path = "../response_headers.rs"]
mod headers;
#[path = "../response_axum.rs"]
mod nested;
#[path = "../response_rfc9111_updates.rs"]
mod rfc9111_updates;
#[path = "../response_rfc9111_vary.rs"]
mod rfc9111_vary;
#[path = "../response_safety.rs"]
mod safety;
#[path = "../response_server.rs"]
mod served;
#[path = "../response_timed.rs"]
mod timed;
#[path = "../response_unparsable.rs"]
mod unparsable;

use response::World;

#[test]
fn the_cases_run_on_redis() {
    let worlds = World::both();
    assert_eq!(worlds.len(), 1);
    assert!(format!("{:?}", worlds[0].backend).contains("RedisCacheBackend"));
}
