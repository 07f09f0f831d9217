//! The layer on a real Redis: the cases of the other files once more, and what only a server that is elsewhere can show.

#![cfg(all(feature = "redis", feature = "response"))]
mod entries;
mod outages;
mod processes;
#[path = "../support/response/mod.rs"]
mod support;
mod tiers;

#[path = "../response/authority.rs"]
mod authority;
#[path = "../response/axum.rs"]
mod axum;
#[path = "../response/bodies.rs"]
mod bodies;
#[path = "../response/content.rs"]
mod content;
#[path = "../response/headers.rs"]
mod headers;
#[path = "../response/lost_purges.rs"]
mod lost_purges;
#[path = "../response/over_http.rs"]
mod over_http;
#[path = "../response/purge_races.rs"]
mod purge_races;
#[path = "../response/rfc9111_updates.rs"]
mod rfc9111_updates;
#[path = "../response/rfc9111_vary.rs"]
mod rfc9111_vary;
#[path = "../response/safety.rs"]
mod safety;
#[path = "../response/tags.rs"]
mod tags;
#[path = "../response/timed.rs"]
mod timed;
#[path = "../response/unparsable.rs"]
mod unparsable;

use support::World;

#[test]
fn the_cases_run_on_redis() {
    let worlds = World::both();
    assert_eq!(worlds.len(), 1);
    assert!(format!("{:?}", worlds[0].backend).contains("RedisCacheBackend"));
}
