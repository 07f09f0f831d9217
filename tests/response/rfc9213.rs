//! Header-driven mode: `CDN-Cache-Control`.

use crate::support::{Headers, World, lives};
use nori_cache::response::CacheResponse;

fn cdn(world: &World) -> CacheResponse {
    world.by_headers().cdn_cache_control(true)
}

/// A response that says both lives so long.
async fn check(targeted: &'static str, all: &'static str, seconds: u64) {
    let headers = vec![("cdn-cache-control", targeted), ("cache-control", all)];
    let headers: Headers = Vec::leak(headers);
    assert_eq!(lives(cdn, headers).await, seconds, "{headers:?}");
}

#[tokio::test]
async fn rfc9213_2_2_it_stands_over_cache_control_and_expires() {
    for (targeted, all, seconds) in [
        ("max-age=30", "no-store", 30),
        ("max-age=30", "max-age=9", 30),
        ("max-age=9", "max-age=30", 9),
        ("max-age=0", "max-age=30", 0),
        ("max-age=30, s-maxage=9", "max-age=60", 9),
        ("no-store", "max-age=9", 0),
        ("private", "max-age=9", 0),
        ("private=\"x\", max-age=9", "max-age=9", 0),
        ("no-cache", "max-age=9", 0),
        ("no-cache=?0, max-age=30", "max-age=9", 30),
        (
            "must-revalidate, max-age=30, extension=(a b)",
            "no-store",
            30,
        ),
        // No lifetime, and nobody else's counts.
        ("public", "max-age=9", 0),
    ] {
        check(targeted, all, seconds).await;
    }
    const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const FUTURE: &str = "Sat, 06 Nov 2094 08:49:37 GMT";
    assert_eq!(
        lives(
            cdn,
            &[("cdn-cache-control", "max-age=30"), ("expires", PAST)]
        )
        .await,
        30
    );
    assert_eq!(
        lives(
            cdn,
            &[("cdn-cache-control", "max-age=0"), ("expires", FUTURE)]
        )
        .await,
        0
    );
    assert_eq!(
        lives(cdn, &[("cdn-cache-control", "max-age=30"), ("age", "20")]).await,
        10
    );
}

#[tokio::test]
async fn rfc9213_2_1_a_broken_field_is_ignored_whole() {
    for broken in [
        "",
        "max-age=30, &&&&&",
        "max-age=\"30\"",
        "max-age=30.0",
        "max-age = 30",
        "MAX-AGE=30",
        "max-age=30,",
    ] {
        check(broken, "max-age=9", 9).await;
        check(broken, "no-store", 0).await;
    }
    // Not if that would be against its meaning: nothing has to be stored.
    for broken in ["no-store, x=\"a", "max-age=30; no-store, private=1"] {
        check(broken, "max-age=9", 0).await;
        check(broken, "no-store", 0).await;
    }
}

#[tokio::test]
async fn rfc9213_2_1_lines_are_one_field() {
    let headers = &[
        ("cdn-cache-control", "max-age=9"),
        ("cdn-cache-control", "max-age=30;x=1"),
        ("cache-control", "no-store"),
    ];
    assert_eq!(lives(cdn, headers).await, 30);
    let headers = &[
        ("cdn-cache-control", "max-age=30"),
        ("cdn-cache-control", "&"),
        ("cache-control", "no-store"),
    ];
    assert_eq!(lives(cdn, headers).await, 0);
}

#[tokio::test]
async fn rfc9213_2_2_it_means_nothing_unless_asked_for() {
    let headers = &[
        ("cdn-cache-control", "max-age=30"),
        ("cache-control", "max-age=9"),
    ];
    assert_eq!(lives(World::by_headers, headers).await, 9);
}
