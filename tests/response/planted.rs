//! A store that others write to: what may not be stored may not be read either. Each entry is changed as another writer might,
//! and then is a miss, and replaced.

use crate::support::remote::Remote;
use crate::support::wires::{raw, telling};
use crate::support::{Cached, Runs, World, cached, constant, with};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use nori_cache::CacheBackend;
use nori_cache::response::CacheResponse;
use serde_json::{Value as Json, json};

const KEY: &str = "view:/:";

/// A stored entry as it lies in the store, and the world that it lies in.
async fn stored(world: &World, remote: &Remote) -> Json {
    let headers = &[
        ("cache-control", "max-age=60"),
        ("vary", ""),
        ("content-type", "text/plain"),
    ];
    constant(&world.timed(60), &Runs::default(), headers)
        .get("/")
        .await;
    remote.json(KEY).await.unwrap()
}

/// Whether what was planted is given to anybody; whatever lies there is replaced at once.
async fn is_served(world: &World, remote: &Remote, entry: &Json) -> bool {
    is_served_by(&world.timed(60), remote, entry, &[]).await
}

/// Whether a layer gives it to those who ask with these headers.
async fn is_served_by(
    layer: &CacheResponse,
    remote: &Remote,
    entry: &Json,
    asks: &[(&str, &str)],
) -> bool {
    remote.put(KEY, &entry.to_string()).await;
    let headers = &[("cache-control", "public, max-age=60")];
    let service = cached(layer, &Runs::default(), move |_, _| async move {
        with(headers, "anew")
    });
    let first = service.get_with("/", asks).await;
    if first.text() == "run 1" {
        return true;
    }
    assert_eq!((first.status, first.text()), (200, "anew"), "{entry}");
    let second = service.get_with("/", asks).await;
    assert_eq!((second.text(), second.is_hit()), ("anew", true), "{entry}");
    false
}

fn with_header(entry: &Json, name: &str, value: &str) -> Json {
    let mut entry = entry.clone();
    let headers = entry["nori"]["headers"].as_array_mut().unwrap();
    headers.push(json!([name, value]));
    entry
}

fn with_field(entry: &Json, name: &str, value: Json) -> Json {
    let mut entry = entry.clone();
    entry["nori"][name] = value;
    entry
}

#[tokio::test]
async fn headers_that_are_never_stored_are_never_read() {
    let (world, remote) = World::remote();
    let entry = stored(&world, &remote).await;
    assert!(is_served(&world, &remote, &entry).await, "as it is");
    assert!(is_served(&world, &remote, &with_header(&entry, "x-any", "y")).await);
    for (name, value) in [
        ("content-length", "0"),
        ("content-length", "4"),
        ("content-length", "6"),
        ("content-length", "+5"),
        ("content-length", "5, 5"),
        ("content-length", "5,6"),
        ("content-length", ""),
        ("Content-Length", "99"),
        ("transfer-encoding", "chunked"),
        ("Transfer-Encoding", "identity"),
        ("connection", "close"),
        ("connection", "x-any"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authorization", "Basic x"),
        ("proxy-authentication-info", "x"),
        ("te", "trailers"),
        ("trailer", "x-any"),
        ("upgrade", "h2c"),
        ("set-cookie", "id=1"),
        ("Set-Cookie", "id=1"),
        ("set-cookie2", "id=1"),
        ("age", "5"),
        ("cache-status", "other; hit"),
        ("cache-control", "private"),
        ("cache-control", "no-store"),
        ("cache-control", "private;"),
        ("cache-control", "no_store"),
        ("vary", "*"),
        ("vary", "cookie"),
        ("vary", "a b"),
        ("content-type", "text/event-stream"),
        ("x-any", "a\r\nset-cookie: id=1"),
        ("x-any", "a\nb"),
        ("x-any", "a\u{0}b"),
        ("x-any", "\u{100}"),
        ("x-any\r\nset-cookie", "id=1"),
        ("x any", "y"),
        ("", "y"),
        (":status", "200"),
    ] {
        let planted = with_header(&entry, name, value);
        assert!(
            !is_served(&world, &remote, &planted).await,
            "{name}: {value}"
        );
    }
    let two = with_header(
        &with_header(&entry, "content-length", "5"),
        "content-length",
        "6",
    );
    assert!(!is_served(&world, &remote, &two).await);
    let lines: Vec<Json> = (0..40_000)
        .map(|nth| json!([format!("x-{nth}"), "y"]))
        .collect();
    for count in [40_000, 30_000, 24_576, 5_000] {
        let many = with_field(&entry, "headers", json!(lines[..count]));
        assert!(!is_served(&world, &remote, &many).await, "{count}");
    }
}

#[tokio::test]
async fn statuses_times_and_lengths_are_checked() {
    let (world, remote) = World::remote();
    let entry = stored(&world, &remote).await;
    let status = |status: Json| {
        let mut entry = entry.clone();
        entry["status_code"] = status;
        entry
    };
    for code in [
        json!(0),
        json!(99),
        json!(100),
        json!(101),
        json!(204),
        json!(205),
        json!(206),
        json!(304),
        json!(600),
        json!(999),
        json!(1000),
        json!(70_000),
        json!(-200),
        json!(200.5),
        json!("200"),
        json!(null),
    ] {
        assert!(
            !is_served(&world, &remote, &status(code.clone())).await,
            "{code}"
        );
    }
    assert!(is_served(&world, &remote, &status(json!(404))).await);
    let far = u64::MAX;
    let year_9999 = 253_370_764_800_000_u64;
    for (name, value) in [
        ("born", json!(far)),
        ("born", json!(year_9999)),
        ("seen", json!(far)),
        ("seen", json!(year_9999)),
        ("fresh", json!(far)),
        ("length", json!(4)),
        ("headers", json!({})),
        ("headers", json!([["x-any"]])),
        ("vary", json!([["x\r\n", null]])),
        ("authorized", json!(1)),
        ("target", json!("/other")),
        ("host", json!("other.example")),
        ("own", json!("other")),
    ] {
        let planted = with_field(&entry, name, value);
        assert!(!is_served(&world, &remote, &planted).await, "{name}");
    }
}

/// An hour ahead is what clocks may be; then it is as young as can be.
#[tokio::test]
async fn clocks_may_differ() {
    let (world, remote) = World::remote();
    let entry = stored(&world, &remote).await;
    let born = entry["nori"]["born"].as_u64().unwrap();
    let ahead = with_field(&entry, "born", json!(born + 3_600_000));
    assert!(is_served(&world, &remote, &ahead).await);
}

/// On the connection itself: nothing that lies in the store can end a response before its end, or go on behind it.
#[tokio::test]
async fn the_bodys_length_comes_from_the_body() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let runs = Runs::default();
    let service = telling(&layer, &runs);
    let ask = b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n";
    let first = raw(service.clone(), ask).await;
    let (_, text) = first.split_once("\r\n\r\n").unwrap();
    let entry = remote.json(KEY).await.unwrap();
    for (name, value, hits) in [
        ("content-length", "5".to_owned(), false),
        ("content-length", "5000".to_owned(), false),
        ("transfer-encoding", "chunked".to_owned(), false),
        ("connection", "keep-alive, upgrade".to_owned(), false),
        // As earlier versions stored it.
        ("content-length", text.len().to_string(), true),
    ] {
        remote
            .put(KEY, &with_header(&entry, name, &value).to_string())
            .await;
        let answer = raw(service.clone(), ask).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.contains("; hit"), hits, "{name}: {value}: {head}");
        let head = head.to_ascii_lowercase();
        assert_eq!(head.matches("content-length").count(), 1, "{head}");
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{head}"
        );
        assert!(
            !head.contains("transfer-encoding") && !head.contains("upgrade"),
            "{head}"
        );
        remote.delete_value(KEY).await.unwrap();
        let head_only = b"HEAD / HTTP/1.1\r\nhost: a.example\r\n\r\n";
        remote
            .put(KEY, &with_header(&entry, name, &value).to_string())
            .await;
        let answer = raw(service.clone(), head_only).await;
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

/// As the Python original writes them.
#[tokio::test]
async fn entries_of_the_original_are_read_if_they_are_responses() {
    let (world, remote) = World::remote();
    let body = BASE64_STANDARD.encode("run 1");
    for (entry, hits) in [
        (
            json!({"body_b64": body, "status_code": 200, "media_type": "text/plain"}),
            true,
        ),
        (
            json!({"body_b64": body, "status_code": 200, "media_type": null}),
            true,
        ),
        (
            json!({"body": "run 1", "status_code": 200, "media_type": "text/plain"}),
            true,
        ),
        (
            json!({"body_b64": body, "status_code": 404, "media_type": "a/b"}),
            true,
        ),
        (
            json!({"body_b64": body, "status_code": 200, "media_type": "text/plain\r\nset-cookie: a=b"}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 200, "media_type": "text/pl\u{0}ain"}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 200, "media_type": "text/event-stream"}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 200, "media_type": 7}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 206, "media_type": "a/b"}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 304, "media_type": "a/b"}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 204, "media_type": "a/b"}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 101, "media_type": "a/b"}),
            false,
        ),
        (
            json!({"body_b64": body, "status_code": 700, "media_type": "a/b"}),
            false,
        ),
        (
            json!({"body_b64": "%", "status_code": 200, "media_type": "a/b"}),
            false,
        ),
        (json!({"status_code": 200, "media_type": "a/b"}), false),
        (json!({"body_b64": body, "media_type": "a/b"}), false),
    ] {
        assert_eq!(is_served(&world, &remote, &entry).await, hits, "{entry}");
    }
}

/// What leads to variants, too, may have been written by others.
#[tokio::test]
async fn planted_signposts_lead_nowhere() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("vary", "accept")]);
    service.get_with("/", &[("accept", "a")]).await;
    assert!(service.get_with("/", &[("accept", "a")]).await.is_hit());
    let signpost = remote
        .keys()
        .into_iter()
        .find(|key| key.contains("variants"))
        .unwrap();
    let names: Vec<String> = (0..5_000).map(|nth| format!("x-{nth}")).collect();
    for planted in [
        json!([7, ["accept"], u64::MAX]),
        json!([7, names, 9]),
        json!([7, ["a b"], 9]),
        json!([7, [], u64::MAX]),
        json!([0, ["accept"], 0]),
        json!([-1, ["accept"], 0]),
        json!({}),
        json!("x"),
    ] {
        remote.put(&signpost, &planted.to_string()).await;
        let first = service.get_with("/", &[("accept", "a")]).await;
        assert!(!first.is_hit(), "{planted}");
        let second = service.get_with("/", &[("accept", "a")]).await;
        assert!(second.is_hit(), "{planted}: {}", second.how());
        let other = service.get_with("/", &[("accept", "b")]).await;
        assert!(!other.is_hit(), "{planted}");
        assert_eq!(layer.stats().backend_errors, 0);
    }
}

/// The write side of the same rules.
#[tokio::test]
async fn what_would_not_be_read_is_not_written() {
    let (world, remote) = World::remote();
    let layer = world.by_headers();
    for (status, headers, body) in [
        (204, &[][..], "body"),
        (205, &[], "body"),
        (600, &[], ""),
        (999, &[], ""),
        (
            200,
            &[("content-length", "4"), ("content-length", "5")],
            "body",
        ),
        (200, &[("content-length", "+4")], "body"),
    ] {
        let service = cached(&layer, &Runs::default(), move |_, _| async move {
            let mut response = with(headers, body);
            let said = http::HeaderValue::from_static("max-age=60");
            response.headers_mut().insert("cache-control", said);
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            response
        });
        service.get("/").await;
        assert_eq!(remote.json(KEY).await, None, "{status} {headers:?}");
    }
    let headers = &[
        ("cache-control", "max-age=60"),
        ("content-length", "5"),
        ("connection", "x-one, X-Two"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
        ("set-cookie2", "a=b"),
        ("cache-status", "inner; hit"),
        ("age", "0"),
    ];
    constant(&layer, &Runs::default(), headers).get("/").await;
    let entry = remote.json(KEY).await.unwrap();
    let mut names: Vec<&str> = entry["nori"]["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| pair[0].as_str().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["cache-control", "content-length", "date", "x-three"]
    );
    assert!(is_served_by(&layer, &remote, &entry, &[]).await);
}

/// What its headers say of its lifetime, and of whose it is, holds for the fields beside them.
#[tokio::test]
async fn fields_that_go_beyond_the_headers_are_not_believed() {
    const THOUSAND_YEARS: u64 = 1000 * 365 * 24 * 60 * 60 * 1000;
    let (world, remote) = World::remote();
    let headers = &[("cache-control", "max-age=60")];
    let layers = [
        ("timed", world.timed(60)),
        ("headers", world.by_headers()),
        ("cdn", world.by_headers().cdn_cache_control(true)),
    ];
    for (mode, layer) in layers {
        constant(&layer, &Runs::default(), headers).get("/").await;
        let entry = remote.json(KEY).await.unwrap();
        layer.purge_key(KEY).await.unwrap();
        let is_served = async |entry: &Json, asks: &[(&str, &str)]| {
            is_served_by(&layer, &remote, entry, asks).await
        };
        assert!(is_served(&entry, &[]).await, "{mode}");
        for (name, value) in [
            ("cache-control", "no-cache"),
            ("cache-control", "max-age=0"),
            ("cache-control", "max-age=59"),
            ("cache-control", "s-maxage=1"),
            ("x-long", &"x".repeat(1_500_000)),
        ] {
            let planted = with_header(&entry, name, value);
            assert!(!is_served(&planted, &[]).await, "{mode} {name}");
        }
        let part = with_header(&entry, "content-range", "bytes 0-4/10");
        assert_eq!(is_served(&part, &[]).await, mode != "timed");
        for (name, value) in [
            ("fresh", json!(THOUSAND_YEARS + 1)),
            ("fresh", json!(60_001)),
            ("swr", json!(THOUSAND_YEARS + 1)),
            ("sie", json!(THOUSAND_YEARS + 1)),
            ("mode", json!("other")),
            ("mode", Json::Null),
        ] {
            let planted = with_field(&entry, name, value);
            assert!(!is_served(&planted, &[]).await, "{mode} {name}");
        }
        let ana = &[("authorization", "ana")];
        let for_all = with_field(&entry, "authorized", json!(true));
        assert!(!is_served(&for_all, ana).await, "{mode}");
        let public = with_header(&for_all, "cache-control", "public");
        assert!(is_served(&public, ana).await, "{mode}");
        layer.purge_key(KEY).await.unwrap();
    }
    // An `Expires` is one, too.
    let headers = &[("expires", "Thu, 01 Jan 2099 00:00:00 GMT")];
    let layer = world.timed(60);
    constant(&layer, &Runs::default(), headers).get("/").await;
    let entry = remote.json(KEY).await.unwrap();
    assert!(is_served(&world, &remote, &entry).await);
    let planted = with_header(&entry, "expires", "0");
    assert!(!is_served(&world, &remote, &planted).await);
}
