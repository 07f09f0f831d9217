//! What is left out of a query's key is what no handler can take for something that counts.

use crate::support::{Cached, Nothing, Runs, World, cached, with};
use http::Request;
use nori_cache::response::CacheResponse;
use proptest::prelude::*;
use std::collections::BTreeMap;

const BYPASS: &str = "nori-cache; fwd=bypass; detail=query";

/// What a handler on serde_urlencoded sees: the last `page` of all.
fn decoded_page(query: &str) -> String {
    let pairs = form(query);
    let pages = pairs.iter().filter(|(name, _)| name == "page");
    let page = pages.map(|(_, value)| value.clone()).next_back();
    format!("page {}", page.unwrap_or_default())
}

/// The pairs of a form, as the URL standard has it: its own words, so that the layer's can be compared with them.
fn form(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let bytes = text.replace('+', " ").into_bytes();
        let mut out = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let hex = bytes
                .get(at + 1..at + 3)
                .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            match hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).ok())
            {
                Some(byte) if bytes[at] == b'%' => {
                    out.push(byte);
                    at += 3;
                }
                _ => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let pairs = pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")));
    pairs
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

fn by_page(layer: &CacheResponse, runs: &Runs) -> impl Cached {
    cached(layer, runs, |request, _| async move {
        with(
            &[("cache-control", "max-age=60")],
            decoded_page(request.uri().query().unwrap_or("")),
        )
    })
}

#[tokio::test]
async fn a_name_in_disguise_poisons_nobody() {
    for world in World::both() {
        for layer in crate::support::modes(&world) {
            let service = by_page(&layer.allow_query(["page"]), &Runs::default());
            for (evil, victim) in [
                ("/monthly?p%61ge=666", "/monthly"),
                ("/monthly?page=2&p%61ge=13", "/monthly?page=2"),
                ("/monthly?p%61ge=13&page=3", "/monthly?page=3"),
                ("/monthly?%70%61%67%65=666", "/monthly"),
                ("/monthly?utm=1&%70age=666", "/monthly?utm=2"),
            ] {
                for _ in 0..2 {
                    let got = service.get(evil).await;
                    let (_, query) = evil.split_once('?').unwrap();
                    assert_eq!(got.text(), decoded_page(query), "{evil}");
                    assert_eq!(got.how(), BYPASS, "{evil}");
                }
                let (_, query) = victim.split_once('?').unwrap_or((victim, ""));
                let got = service.get(victim).await;
                assert_eq!(got.text(), decoded_page(query), "{evil}");
                assert!(service.get(victim).await.is_hit());
            }
        }
    }
}

/// What some handler, in some language, takes for a parameter that counts.
#[tokio::test]
async fn what_may_be_read_either_way_is_not_cached() {
    let world = World::memory();
    let layer = world.timed(60).allow_query(["page", "per_page"]);
    let runs = Runs::default();
    let service = by_page(&layer, &runs);
    for query in [
        "p%61ge=1",
        "p%2561ge=1",
        "Page=1",
        "PAGE=1",
        "%50age=1",
        "+page=1",
        "page+=1",
        "page%20=1",
        "%20page=1",
        "page%00=1",
        "page%00x=1",
        "page%0a=1",
        "page%09",
        "page%ff=1",
        "page%EF%BF%BD=1",
        "page[]=1",
        "page%5B%5D=1",
        "page[0]=1",
        "page[size]=1",
        "[page]=1",
        "page.size=1",
        "per.page=1",
        "per+page=1",
        "per[page=1",
        "per-page=1",
        "x=1;page=2",
        "x=1%3Bpage=2",
        "x;page=2",
        "x=1%26page=2",
        "x%26page=2",
        "page%3D2",
        "page%3D2=3",
        "x=1&amp;page=2",
        "&&&p%61ge",
        "page%3=1",
        "page%=1",
        "page%zz=1",
        "x=%zz",
        "x=%",
        "x%f=1",
        "x=%ff",
        "%ff=1",
        "x=%00",
        "x%0d%0a=1",
        "page%E2%80%8B=1",
        "%EF%BC%B0age=1",
        "%C3%A9=1",
    ] {
        for _ in 0..2 {
            let got = service.get(&format!("/?{query}")).await;
            assert_eq!(got.how(), BYPASS, "{query}");
        }
        assert_eq!(
            layer.key_of(&crate::support::get(&format!("/?{query}"), &[])),
            None
        );
    }
    // None of it was stored, and what counts and what does not is as plain as ever.
    let before = runs.count();
    service.get("/").await;
    for query in [
        "",
        "utm_source=news&utm_medium=e-mail",
        "x=page",
        "x=%2Fa%20b+c&y=1.5",
        "x=caf%C3%A9",
        "=1",
        "x",
        "&&",
        "pag=1",
        "pages=1",
        "a[]=1&a[]=2",
        "x=1;y=2",
        "x=1&x=2",
    ] {
        let got = service.get(&format!("/?{query}")).await;
        assert!(got.is_hit(), "{query}: {}", got.how());
    }
    assert_eq!(runs.count(), before + 1);
}

#[tokio::test]
async fn names_that_have_to_be_encoded_count_as_they_are_meant() {
    let world = World::memory();
    let layer = world
        .timed(60)
        .allow_query(["filter[kind]", "größe", "a b"]);
    let key = |query: &str| layer.key_of(&crate::support::get(&format!("/?{query}"), &[]));
    for query in [
        "filter[kind]=1",
        "filter%5Bkind%5D=1",
        "filter%5bkind%5d=1",
        "gr%C3%B6%C3%9Fe=2",
        "a+b=1",
        "a%20b=1",
    ] {
        assert_eq!(
            key(query),
            Some(format!("view:/:{query}")),
            "kept as it is sent"
        );
        assert_eq!(
            key(&format!("{query}&x=1")),
            Some(format!("view:/:{query}"))
        );
    }
    assert_eq!(key("f%69lter[kind]=1"), None);
    assert_eq!(key("filter[other]=1"), None);
    assert_eq!(key("Gr%C3%B6%C3%9Fe=2"), None);
}

#[tokio::test]
async fn sorting_keeps_apart_what_a_handler_can() {
    let world = World::memory();
    let service = cached(
        &world.timed(60).sort_query(true),
        &Runs::default(),
        |request, _| async move { with(&[], request.uri().query().unwrap_or("").to_owned()) },
    );
    for (one, other) in [
        ("a=1&%61=2", "%61=2&a=1"),
        ("a=1&b=0&%61=2", "%61=2&b=0&a=1"),
        ("a=1&A=2", "A=2&a=1"),
        ("a=1&a=2", "a=2&a=1"),
        ("a[]=1&a[]=2", "a[]=2&a[]=1"),
        ("a[]=1&a%5B%5D=2", "a%5B%5D=2&a[]=1"),
        ("a[x]=1&a[y]=2", "a[y]=2&a[x]=1"),
        ("a+b=1&a%20b=2", "a%20b=2&a+b=1"),
        ("b=1;a=2&a=3", "a=3&b=1;a=2"),
        ("b=1%26a=2&a=3", "a=3&b=1%26a=2"),
        ("%ff=1&%fe=2", "%fe=2&%ff=1"),
        ("%=1&%zz=2", "%zz=2&%=1"),
        ("=1&=2", "=2&=1"),
        ("a=1&a%00=2", "a%00=2&a=1"),
        ("a=1&%2561=2", "%2561=2&a=1"),
    ] {
        assert_eq!(service.get(&format!("/?{one}")).await.text(), one);
        assert_eq!(service.get(&format!("/?{other}")).await.text(), other);
    }
    assert_eq!(
        service.get("/?b=2&c=1&a=%C3%A9").await.text(),
        "b=2&c=1&a=%C3%A9"
    );
    assert!(service.get("/?c=1&a=%C3%A9&b=2").await.is_hit());
}

/// The parts that make trouble.
fn queries() -> impl Strategy<Value = String> {
    "(a|%61|A|b|page|p%61ge|=1|=2|&|;|%26|%3B|%3D|%25|\\+|%20|\\[\\]|\\.|%ff|%zz|%00){0,7}"
}

/// What a handler sees of the parameters that it may look at: by the form standard, with `;` as another separator, and with
/// everything decoded before it is split.
fn views(query: &str, allowed: &[&str]) -> Vec<BTreeMap<String, Vec<String>>> {
    let whole = form(&format!("x={}", query.replace('&', "%26")));
    let texts = [
        query.to_owned(),
        query.replace(';', "&"),
        whole[0].1.replace(';', "&"),
    ];
    let view = |text: &String| {
        let mut seen = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in form(text) {
            let name = name.trim_matches(['\0', ' ']).to_lowercase();
            if allowed.is_empty() || allowed.contains(&&*name) {
                seen.entry(name).or_default().push(value);
            }
        }
        seen
    };
    texts.iter().map(view).collect()
}

fn key(layer: &CacheResponse, query: &str) -> Option<String> {
    let uri = http::Uri::builder()
        .path_and_query(format!("/?{query}"))
        .build()
        .unwrap();
    let mut request = Request::new(Nothing::new());
    *request.uri_mut() = uri;
    layer.key_of(&request)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn queries_that_share_a_key_say_the_same(one in queries(), other in queries()) {
        let plain = CacheResponse::ttl(std::time::Duration::from_secs(60));
        let allowed = plain.clone().allow_query(["page", "a"]);
        let sorted = plain.clone().sort_query(true);
        let both = allowed.clone().sort_query(true);
        for (layer, names) in [(&allowed, &["page", "a"][..]), (&sorted, &[]), (&both, &["page", "a"])] {
            // Against another, and against what is left in the key.
            let key_of_one = key(layer, &one);
            let kept = key_of_one.as_deref().and_then(|key| key.strip_prefix("view:/:"));
            for other in [Some(&*other), kept].into_iter().flatten() {
                if key_of_one.is_some() && key_of_one == key(layer, other) {
                    prop_assert_eq!(views(&one, names), views(other, names));
                }
            }
        }
    }
}
