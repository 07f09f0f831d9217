//! Servers and users that may not track, and settings that are not allowed.

use crate::scripted::{Reply, Scripted};
use crate::server::Server;
use crate::{MINUTE, redis};
use nori_cache::{CacheBackend, CacheBackendExt, Coherence, TieredCacheBackend};
use std::time::Duration;

#[tokio::test]
async fn a_user_who_may_not_track() {
    let server = Server::start();
    let rules = ["on", ">hunter2", "~*", "&*", "+@all", "-client|tracking"];
    let set_user: Vec<&str> = ["ACL", "SETUSER", "ana"].into_iter().chain(rules).collect();
    assert_eq!(server.ask(&set_user), "OK");
    let url = format!("redis://ana:hunter2@{}", server.address());
    let at = |coherence| {
        let tiers = TieredCacheBackend::builder().redis(redis(&url));
        tiers.coherence(coherence).build().unwrap()
    };
    for coherence in [Coherence::Tracking, Coherence::Broadcast] {
        let near = at(coherence);
        let error = near.verify().await.unwrap_err();
        assert!(error.is_rejected(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("client tracking") && text.contains("NOPERM"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        // Not a miss, and not a tier that nobody keeps coherent.
        assert!(near.get::<u8>("k").await.unwrap_err().is_rejected());
    }
    let near = at(Coherence::NearTtl);
    near.verify().await.unwrap();
    near.set("k", 1, MINUTE).await.unwrap();
    assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
}

/// What the documentation lists is enough, and each of it that tiers need beyond plain Redis is needed.
#[tokio::test]
async fn a_user_who_may_do_no_more_than_is_needed() {
    const NEEDED: [&str; 13] = [
        "+get",
        "+mget",
        "+set",
        "+unlink",
        "+pttl",
        "+incrby",
        "+exists",
        "+eval",
        "+evalsha",
        "+scan",
        "+ping",
        "+hello",
        "+client|tracking",
    ];
    let server = Server::start();
    let at = |user: &str, rules: &[&str]| {
        let mut set_user = vec!["ACL", "SETUSER", user, "on", ">hunter2", "~cache:*"];
        set_user.extend(rules);
        assert_eq!(server.ask(&set_user), "OK");
        let url = format!("redis://{user}:hunter2@{}", server.address());
        let tiers = TieredCacheBackend::builder().redis(redis(url));
        tiers.build().unwrap()
    };
    let near = at("ana", &NEEDED);
    near.verify().await.unwrap();
    near.set("k", 1, MINUTE).await.unwrap();
    assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
    assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
    assert_eq!(near.incr("k", MINUTE).await.unwrap(), 2);
    assert_eq!(
        near.get_many::<u8>(&["k", "l"]).await.unwrap(),
        [Some(2), None]
    );
    near.flush().await.unwrap();
    assert_eq!(near.get::<u8>("k").await.unwrap(), None);
    for lacking in ["+client|tracking", "+ping"] {
        let rules: Vec<&str> = (NEEDED.into_iter()).filter(|it| *it != lacking).collect();
        let error = at("bo", &rules).verify().await.unwrap_err();
        assert!(error.is_rejected(), "{lacking}: {error}");
        assert_eq!(server.ask(&["ACL", "DELUSER", "bo"]), "1");
    }
}

/// A server that is only not ready yet is down, as for everybody, and not one that refuses.
#[tokio::test]
async fn a_server_that_answers_otherwise() {
    for (says, is_down) in [
        ("LOADING Redis is loading the dataset in memory", true),
        ("MASTERDOWN Link with MASTER is down", true),
        (
            "NOPERM this user has no permissions to run the 'ping' command",
            false,
        ),
        ("ERR not supported by this proxy", false),
    ] {
        // It says so to the question whether it is alive.
        let server = Scripted::start(move |asked| match asked.name() {
            "PING" => Reply::error(says),
            _ => Reply::well(asked),
        });
        let near = TieredCacheBackend::builder().redis(redis(server.url()));
        let near = near.build().unwrap();
        let error = near.verify().await.unwrap_err();
        assert_eq!(
            (error.is_connection(), error.is_rejected()),
            (is_down, !is_down),
            "{error}"
        );
        assert!(
            is_down || error.to_string().contains("client tracking"),
            "{error}"
        );
    }
}

#[test]
fn settings_that_are_not_allowed() {
    let tiers = TieredCacheBackend::builder;
    for (builder, expected) in [
        (tiers().near_max_keys(0), "near_max_keys"),
        (tiers().near_max_bytes(0), "near_max_bytes"),
        (tiers().near_ttl(Duration::ZERO), "near_ttl"),
        (
            tiers().max_staleness(Duration::from_millis(9)),
            "max_staleness",
        ),
        (tiers().redis(redis("nowhere")), "url"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_config(), "{error}");
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    tiers()
        .near_max_keys(usize::MAX / 64)
        .build()
        .map(drop)
        .unwrap_or_else(|error| assert!(error.is_invalid_config()));
    let forever = tiers().near_ttl(Duration::MAX).max_staleness(Duration::MAX);
    forever.build().unwrap();
}
