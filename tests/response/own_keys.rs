//! What the layer keeps for itself in the store: no request names it, and what others put in its place does no lasting harm.

use crate::support::{Cached, Nothing, Runs, World, cached, constant, get, with};
use http::header::{ACCEPT, HeaderName};
use http::{HeaderValue, Request};
use nori_cache::CacheBackend;
use nori_cache::response::CacheResponse;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

const LANG: HeaderName = HeaderName::from_static("x-lang");
const LIST: &str = "nori-cache:purges";
const COUNT: &str = "nori-cache:purges:tags";
/// Of a tag that looks like the end of a key.
const VERSION: &str = "#tag:t/:";

/// Whatever a client says in a header of the key, what leads to the variants of another key stays as it is.
#[tokio::test]
async fn no_value_of_a_header_names_the_signpost_of_another_key() {
    for world in World::both() {
        let layer = world.timed(60).vary_on([LANG]);
        let service = cached(&layer, &Runs::default(), |request, run| async move {
            let vary = if request.headers().contains_key("accept") {
                "accept"
            } else {
                ""
            };
            with(&[("vary", vary)], format!("run {run}"))
        });
        let varied = async |lang| {
            service
                .get_with("/", &[("x-lang", lang), ("accept", "a")])
                .await
        };
        let plain = async |lang| service.get_with("/", &[("x-lang", lang)]).await;
        assert_eq!(varied("en").await.text(), "run 1");
        assert!(varied("en").await.is_hit());
        for evil in [
            "en#variants",
            "en#variant=0",
            "#variants:view",
            "en#variants:",
        ] {
            plain(evil).await;
            assert!(plain(evil).await.is_hit());
            let still = varied("en").await;
            assert_eq!((still.text(), still.is_hit()), ("run 1", true), "{evil}");
        }
    }
}

/// The parts of the keys that the layer makes for itself.
fn parts() -> impl Strategy<Value = String> {
    "(#|##|#variants|#variants:|#variant:|#variant=|:|/|view|nori-cache|:purges|0|en|0123456789abcdef:|vary=){0,5}"
}

#[derive(Debug, Clone)]
struct Ask {
    prefix: String,
    own: Option<String>,
    lang: Option<String>,
    path: String,
    query: String,
}

fn asks() -> impl Strategy<Value = Ask> {
    let url = "(variants|:|/|view|nori-cache|purges|0|%23|%23variants:|en){0,4}";
    let option = proptest::option::of;
    (parts(), option(parts()), option(parts()), url, url).prop_map(
        |(prefix, own, lang, path, query)| Ask {
            prefix,
            own,
            lang,
            path: format!("/{path}"),
            query,
        },
    )
}

impl Ask {
    fn layer(&self, world: &World) -> CacheResponse {
        let mut layer = world.timed(60).key_prefix(&*self.prefix);
        if let Some(own) = self.own.clone() {
            layer = layer.key_fn(move |_| own.clone());
        }
        match self.lang {
            Some(_) => layer.vary_on([LANG]),
            None => layer,
        }
    }

    fn request(&self, accept: &'static str) -> Request<Nothing> {
        let uri = http::Uri::builder();
        let uri = uri.path_and_query(format!("{}?{}", self.path, self.query));
        let mut request = Request::new(Nothing::new());
        *request.uri_mut() = uri.build().unwrap();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if let Some(lang) = &self.lang {
            headers.insert(LANG, lang.parse().unwrap());
        }
        request
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Responses that vary are stored for all of these, by key functions, prefixes and headers that try to name each other's
    /// signposts and variants. What was written beside the requests' own keys is nobody's key.
    #[test]
    fn no_request_has_a_key_of_our_own(asks in proptest::collection::vec(asks(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (world, remote) = World::remote();
            let mut asked = BTreeSet::new();
            for ask in &asks {
                let layer = ask.layer(&world);
                let service = cached(&layer, &Runs::default(), |request, _| async move {
                    let accept = request.headers()["accept"].to_str().unwrap();
                    let vary = if accept == "none" { "" } else { "accept" };
                    with(&[("vary", vary), ("cache-tag", "t/:")], accept.to_owned())
                });
                for accept in ["a", "b", "none"] {
                    let request = ask.request(accept);
                    let key = layer.key_of(&request).unwrap();
                    service.ask(request).await;
                    layer.purge_key(&format!("{key}x")).await.unwrap();
                    asked.insert(key);
                }
                layer.purge_tag("t/:").await.unwrap();
                layer.purge_prefix("nothing").await.unwrap();
            }
            let written: BTreeSet<String> = remote.keys().into_iter().collect();
            let own: Vec<&String> = written.difference(&asked).collect();
            assert!(own.iter().any(|key| key.contains("variant")), "{written:?}");
            for key in [LIST, COUNT, VERSION] {
                assert!(own.contains(&&key.to_owned()), "{key}: {written:?}");
            }
            // Written as an entry, or as something else: never both, so the sets tell them apart by what lies there.
            for key in &asked {
                if let Some(value) = remote.json(key).await {
                    assert!(value.get("body_b64").is_some(), "{key}: {value}");
                }
            }
            for key in own {
                // And by how they are written, whoever asks.
                let is_marked = key.starts_with('#') && !key.starts_with("##");
                assert!(is_marked || !key.contains('/'), "{key}");
            }
            for key in &asked {
                assert!(!key.starts_with('#') || key.starts_with("##"), "{key}");
                assert!(key.contains('/'), "{key}");
            }
        });
    }

    /// Two layers and requests with different parts that make up one key share nothing.
    #[test]
    fn keys_are_as_the_wire_format_has_them(ask in asks()) {
        let world = World::memory();
        let key = ask.layer(&world).key_of(&ask.request("a")).unwrap();
        let Ask { prefix, own, lang, path, query } = &ask;
        let mark = if prefix.starts_with('#') { "#" } else { "" };
        let own = own.as_ref().map_or(String::new(), |own| format!(":{own}"));
        let lang = lang.as_ref().map_or(String::new(), |lang| format!(":vary=x-lang={lang}"));
        prop_assert_eq!(key, format!("{mark}{prefix}{own}:{path}:{query}{lang}"));
    }
}

#[tokio::test]
async fn keys_of_our_own_are_not_purged_by_name() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t/:")]);
    layer.purge_prefix("other").await.unwrap();
    service.get("/").await;
    let theirs = ["#variants:view:/:", "nori-cache:purges:7", "", "#"];
    for key in [LIST, COUNT, VERSION].into_iter().chain(theirs) {
        assert!(!layer.purge_key(key).await.unwrap(), "{key}");
    }
    for key in [LIST, COUNT, VERSION] {
        assert!(remote.json(key).await.is_some(), "{key}");
    }
}

/// Without a slash at its start a path is none that has a key.
#[tokio::test]
async fn a_target_without_a_path_is_passed_through() {
    let world = World::memory();
    let layer = world.timed(60).key_prefix("nori-cache");
    let service = constant(&layer, &Runs::default(), &[]);
    for target in ["*", "a.example:80"] {
        assert_eq!(layer.key_of(&get(target, &[])), None);
        let got = service.get(target).await;
        assert_eq!(got.how(), "nori-cache; fwd=bypass; detail=path", "{target}");
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

const HOUR: u64 = 3_600_000;

/// Whatever lies there, hits come back with the second request, and purges work.
#[tokio::test]
async fn a_list_of_purges_that_is_not_ours_is_replaced() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
    let many: Vec<Json> = (1..600).map(|n| json!([n, "tag", "x"])).collect();
    for list in [
        json!([u64::MAX, []]),
        json!([0, [[u64::MAX, "tag", "x"]]]),
        json!([u64::MAX - 1, [[u64::MAX, "prefix", ""]]]),
        json!([now() + 25 * HOUR, []]),
        json!([now() + 1_000_000 * HOUR, []]),
        json!([0, [[now() + 25 * HOUR, "tag", "x"]]]),
        json!([9, [[9, "tag", "x"]]]),
        json!([9, [[8, "tag", "x"]]]),
        json!([1, [[5, "tag", "x"], [4, "tag", "y"]]]),
        json!([1, [[5, "tag", "x"], [5, "tag", "y"]]]),
        json!([0, many]),
        json!([1, [[5, "all", "x"]]]),
        json!([-1, []]),
        json!([1.5, []]),
        json!([1]),
        json!([1, [], 2]),
        json!([1, [[5, "tag"]]]),
        json!({"all": 1}),
        json!("x"),
        json!(7),
        json!(null),
        json!(i64::MAX),
    ] {
        // What was stored may have been purged by what nobody can read.
        service.get("/").await;
        assert!(service.get("/").await.is_hit(), "{list}");
        remote.put(LIST, &list.to_string()).await;
        assert!(!service.get("/").await.is_hit(), "{list}");
        assert!(service.get("/").await.is_hit(), "{list}");
        assert_ne!(remote.json(LIST).await.unwrap(), list);
        // Purged while it lies there.
        remote.put(LIST, &list.to_string()).await;
        layer.purge_prefix("view:/a").await.unwrap();
        assert!(!service.get("/").await.is_hit(), "{list}");
        assert!(service.get("/").await.is_hit(), "{list}");
        layer.purge_tag("t").await.unwrap();
        assert!(!service.get("/").await.is_hit(), "{list}");
        assert!(service.get("/").await.is_hit(), "{list}");
        layer.purge_prefix("view:/").await.unwrap();
        assert!(!service.get("/").await.is_hit(), "{list}");
        assert!(service.get("/").await.is_hit(), "{list}");
        assert_eq!(layer.stats().backend_errors, 0);
    }
    // Text that is no JSON, as well.
    remote.put(LIST, "[1").await;
    assert!(!service.get("/").await.is_hit());
    assert!(service.get("/").await.is_hit());
}

/// In memory, too, where the list lies as it is.
#[tokio::test]
async fn a_list_in_memory_is_replaced_as_well() {
    let world = World::memory();
    let service = constant(&world.timed(60), &Runs::default(), &[]);
    service.get("/").await;
    let never = nori_cache::Ttl::Never;
    let list = nori_cache::Value::encoded(json!([u64::MAX, []]).to_string());
    world.backend.set_value(LIST, list, never).await.unwrap();
    assert!(!service.get("/").await.is_hit());
    assert!(service.get("/").await.is_hit());
}

/// A list by a clock that is some hours ahead is one of ours: it is heeded, and stays.
#[tokio::test]
async fn clocks_may_be_a_day_apart() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
    service.get("/").await;
    let list = json!([0, [[now() + 23 * HOUR, "tag", "t"]]]);
    remote.put(LIST, &list.to_string()).await;
    assert!(!service.get("/").await.is_hit());
    assert!(service.get("/").await.is_hit());
    assert_eq!(remote.json(LIST).await.unwrap(), list);
    layer.purge_tag("t").await.unwrap();
    assert!(!service.get("/").await.is_hit());
    assert!(service.get("/").await.is_hit());
}

#[tokio::test]
async fn a_lost_list_brings_nothing_back() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[("cache-tag", "t")]);
    layer.purge_prefix("other").await.unwrap();
    service.get("/").await;
    assert!(service.get("/").await.is_hit());
    layer.purge_prefix("view:/").await.unwrap();
    // The store forgets what was purged.
    remote.delete_value(LIST).await.unwrap();
    assert!(!service.get("/").await.is_hit());
    assert!(service.get("/").await.is_hit());
}

#[tokio::test]
async fn stamps_of_purges_by_key_may_be_anything() {
    let (world, remote) = World::remote();
    let layer = world.timed(60);
    let service = constant(&layer, &Runs::default(), &[]);
    for count in [
        i64::MAX.to_string(),
        i64::MIN.to_string(),
        u64::MAX.to_string(),
        "-1".into(),
        "x".into(),
        "[]".into(),
    ] {
        for bucket in 0..4096 {
            remote.put(&format!("{LIST}:{bucket}"), &count).await;
        }
        service.get("/").await;
        assert!(service.get("/").await.is_hit(), "{count}");
        for _ in 0..2 {
            assert!(layer.purge_key("view:/:").await.unwrap(), "{count}");
            assert!(!service.get("/").await.is_hit(), "{count}");
            assert!(service.get("/").await.is_hit(), "{count}");
        }
    }
}
