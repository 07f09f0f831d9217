//! Which requests say the same in a header that a response varies by.

use crate::support::{Cached, Headers, Runs, World, cached, constant, get, modes, with};
use http::Request;
use nori_cache::response::CacheResponse;

fn varies_by(name: &'static str) -> Headers {
    let headers = vec![("cache-control", "max-age=60"), ("vary", name)];
    Vec::leak(headers)
}

/// Whether a request with the second lines gets the response to one with the first.
async fn is_shared(layer: &CacheResponse, name: &'static str, lines: [&[&str]; 2]) -> bool {
    let service = constant(layer, &Runs::default(), varies_by(name));
    let [first, second] = lines.map(|lines| {
        let mut request = Request::get("/");
        for line in lines {
            request = request.header(name, *line);
        }
        request.body(()).unwrap()
    });
    assert!(!service.ask(first).await.is_hit());
    service.ask(second).await.is_hit()
}

#[tokio::test]
async fn rfc9111_4_1_the_same_said_otherwise() {
    for (name, first, second, shared) in [
        ("x-any", &["1, 2"][..], &[" 1,2 "][..], true),
        ("x-any", &["1", "2"], &[" 1", "2 "], true),
        ("x-any", &["1, 2"], &["1", "2"], true),
        // What is between quotes is no list.
        ("x-any", &["\"1 , 2\", 3"], &["\"1,2\",3"], false),
        ("x-any", &["\"1 , 2\" , 3"], &["\"1 , 2\",3"], true),
        ("x-any", &["\"\\\" , 2\""], &["\"\\\",2\""], false),
        ("x-any", &["\"1 , 2"], &["\"1,2"], false),
        ("x-any", &["a"], &["A"], false),
        ("x-any", &["1, 2"], &["2, 1"], false),
        ("x-any", &["1"], &[], false),
        ("x-any", &[""], &[], false),
        ("x-any", &[], &[], true),
        ("accept-language", &["en, de"], &["eN ,De"], true),
        ("accept-language", &["en, de"], &["de, en"], false),
        ("accept-encoding", &["GZip, br"], &["gzip,br"], true),
        ("accept-charset", &["UTF-8"], &["utf-8"], true),
        ("accept", &["text/html;x=A"], &["text/html;x=a"], false),
        ("cookie", &["a=1, 2"], &["a=1,2"], false),
    ] {
        for world in World::both() {
            for layer in modes(&world) {
                let got = is_shared(&layer, name, [first, second]).await;
                assert_eq!(got, shared, "{name}: {first:?} {second:?}");
            }
        }
    }
}

#[tokio::test]
async fn rfc9110_12_5_4_the_order_of_languages_need_not_count() {
    for (first, second, shared) in [
        ("en, de", "de, en", true),
        ("en, de;q=0.5", "de;q=0.50,EN;q=1", true),
        ("en, de;q=0.5", "de, en;q=0.5", false),
        ("en, de", "en, de, fr", false),
        ("en;q=x, de", "de, en;q=x", false),
    ] {
        for world in World::both() {
            for layer in modes(&world) {
                let layer = layer.sort_languages(true);
                let got = is_shared(&layer, "accept-language", [&[first], &[second]]).await;
                assert_eq!(got, shared, "{first} {second}");
            }
        }
    }
}

#[tokio::test]
async fn rfc9111_4_1_the_order_of_other_lists_does() {
    for world in World::both() {
        let layer = world.by_headers().sort_languages(true);
        let lines: [&[&str]; 2] = [&["en, de"], &["de, en"]];
        assert!(!is_shared(&layer, "x-languages", lines).await);
    }
}

#[tokio::test]
async fn rfc9111_4_1_no_request_takes_the_place_of_what_tells_variants_apart() {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            // Only `/a?x` has variants.
            let service = cached(&layer, &runs, |request, _| async move {
                let name = match request.uri().query() {
                    Some("x") => "accept",
                    _ => "",
                };
                with(&[("cache-control", "max-age=60"), ("vary", name)], "")
            });
            let uris = ["/a?x", "/a?x:variants", "/a?x%23variants", "/a?x#variants"];
            let ask = |uri| service.ask(get(uri, &[("accept", "text/html")]));
            for uri in uris {
                ask(uri).await;
            }
            // The last one is the first one: a fragment is no part of a request.
            assert_eq!(runs.count(), 3);
            for uri in uris {
                assert!(ask(uri).await.is_hit(), "{uri}");
            }
        }
    }
}
