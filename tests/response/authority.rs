//! Whose page it is: a request that names more than one authority, or none that can be read as one, is not cached.

use crate::support::wires::{Http2, raw, telling};
use crate::support::{Cached, Nothing, Runs, World, cached, constant, modes, with};
use http::Request;

const BYPASS: &str = "nori-cache; fwd=bypass; detail=host";

/// Texts that are not one authority.
const BROKEN: [&str; 24] = [
    "",
    " ",
    "a.example ",
    " a.example",
    "a.example, b.example",
    "a.example,b.example",
    "user@a.example",
    "a.example@b.example",
    "http://a.example",
    "a.example/b",
    "a.example?b",
    "a.example#b",
    "a.example:",
    "a.example:x",
    "a.example:99999",
    "a.example:-1",
    "a.example:80:80",
    "a.example;b",
    "a%2eexample",
    "[::1",
    "::1",
    "[::1]x",
    ":80",
    "a\\b.example",
];

#[tokio::test]
async fn rfc9112_3_2_2_absolute_form_with_another_host_poisons_nobody() {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let service = telling(&layer, &runs);
            let evil = b"GET http://victim.example/page HTTP/1.1\r\nhost: evil.example\r\n\r\n";
            for run in 1..3 {
                let answer = raw(service.clone(), evil).await;
                assert!(answer.contains(BYPASS), "{answer}");
                assert!(answer.contains(&format!("run {run} host")), "{answer}");
            }
            let plain = b"GET /page HTTP/1.1\r\nhost: victim.example\r\n\r\n";
            let victim = raw(service.clone(), plain).await;
            assert!(
                victim.contains("run 3 host [\"victim.example\"]"),
                "{victim}"
            );
            let evils = b"GET /page HTTP/1.1\r\nhost: evil.example\r\n\r\n";
            assert!(raw(service.clone(), evils).await.contains("run 4"));
            // As it should be; but a handler can see a scheme in this one.
            let absolute =
                b"GET http://victim.example/page HTTP/1.1\r\nhost: Victim.example\r\n\r\n";
            let first = raw(service.clone(), absolute).await;
            assert!(
                first.contains("run 5 ") && !first.contains("; hit"),
                "{first}"
            );
            let same = raw(service.clone(), absolute).await;
            assert!(same.contains("run 5 ") && same.contains("; hit"), "{same}");
        }
    }
}

#[tokio::test]
async fn rfc9113_8_3_1_authority_beside_another_host_poisons_nobody() {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let mut client = Http2::to(telling(&layer, &runs)).await;
            let ask = |authority: &str, host: Option<&str>| {
                let mut request = Request::get(format!("http://{authority}/page"));
                if let Some(host) = host {
                    request = request.header("host", host);
                }
                request.body(Nothing::new()).unwrap()
            };
            for run in 1..3 {
                let got = client
                    .ask(ask("victim.example", Some("evil.example")))
                    .await;
                assert_eq!(got.how(), BYPASS);
                assert!(got.text().starts_with(&format!("run {run} ")));
            }
            let victim = client.ask(ask("victim.example", None)).await;
            assert!(victim.text().starts_with("run 3 "), "{}", victim.text());
            let again = client.ask(ask("victim.example", None)).await;
            assert!(again.is_hit(), "{}", again.how());
            let both = client
                .ask(ask("victim.example", Some("VICTIM.example")))
                .await;
            assert!(both.is_hit(), "{}", both.how());
        }
    }
}

#[tokio::test]
async fn all_that_names_an_authority_must_name_the_same() {
    for world in World::both() {
        for layer in modes(&world) {
            let service = constant(&layer, &Runs::default(), &[("cache-control", "max-age=60")]);
            for (uri, hosts) in [
                ("http://a.example/", &["b.example"][..]),
                ("http://a.example/", &["a.example", "b.example"]),
                ("http://a.example/", &["a.example", "a.example"]),
                ("http://a.example/", &["a.example:80"]),
                ("http://a.example:80/", &["a.example"]),
                ("https://a.example/", &["a.example:443"]),
                ("http://a.example:8080/", &["a.example:8081"]),
                ("http://a.example/", &["a.example."]),
                ("http://user@a.example/", &["a.example"]),
                ("http://user@a.example/", &[]),
                ("http://user:word@a.example/", &["user:word@a.example"]),
                ("http://a.example/", &[""]),
                ("/", &["a.example", "a.example"]),
                ("/", &["", ""]),
            ] {
                let headers: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
                for _ in 0..2 {
                    let got = service.get_with(uri, &headers).await;
                    assert_eq!(got.how(), BYPASS, "{uri} {hosts:?}");
                }
            }
            for (uri, host) in [
                ("/", "a.example"),
                ("/", "a.example:8080"),
                ("/", "[2001:DB8::1]"),
                ("/", "[::1]:443"),
                ("/", "192.0.2.1:80"),
                ("/", "under_score.a-b.example."),
                ("http://a.example:80/", "A.Example:80"),
            ] {
                service.get_with(uri, &[("host", host)]).await;
                let second = service.get_with(uri, &[("host", host)]).await;
                assert!(second.is_hit(), "{uri} {host}: {}", second.how());
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_authority_is_not_cached() {
    for world in World::both() {
        let runs = Runs::default();
        let service = constant(&world.timed(60), &runs, &[]);
        for host in BROKEN {
            for _ in 0..2 {
                let got = service.get_with("/", &[("host", host)]).await;
                assert_eq!(got.how(), BYPASS, "{host:?}");
            }
        }
        let mut request = crate::support::get("/", &[]);
        let odd = http::HeaderValue::from_bytes(b"a\xe9.example").unwrap();
        request.headers_mut().insert("host", odd);
        assert_eq!(service.ask(request).await.how(), BYPASS);
        assert_eq!(runs.count(), 2 * BROKEN.len() + 1);
    }
}

/// Neither looked up, nor stored, nor waited for.
#[tokio::test]
async fn who_names_two_authorities_gets_nothing_that_is_stored() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |_, run| async move {
            tokio::task::yield_now().await;
            with(&[], format!("run {run}"))
        });
        let good = [("host", "a.example")];
        let evil = [("host", "b.example")];
        assert_eq!(service.get_with("/", &good).await.text(), "run 1");
        let other = service.get_with("http://a.example/", &evil).await;
        assert_eq!((other.text(), other.how()), ("run 2", BYPASS));
        let (one, two) = tokio::join!(
            service.get_with("http://c.example/", &evil),
            service.get_with("http://c.example/", &evil),
        );
        assert_ne!(one.text(), two.text());
        assert_eq!(runs.count(), 4);
    }
}

#[tokio::test]
async fn with_the_host_in_the_key_it_is_the_same() {
    let world = World::memory();
    let layer = world.timed(60).host_in_key(true);
    let service = constant(&layer, &Runs::default(), &[]);
    let mismatch = crate::support::get("http://a.example/", &[("host", "b.example")]);
    assert_eq!(layer.key_of(&mismatch), None);
    assert_eq!(service.ask(mismatch).await.how(), BYPASS);
    let fitting = crate::support::get("http://a.example/", &[("host", "A.example")]);
    assert_eq!(layer.key_of(&fitting).unwrap(), "view:a.example:/:");
}

/// What a router has kept as the original counts as well.
#[tokio::test]
async fn an_original_uri_of_another_authority_is_another_one() {
    use axum::extract::OriginalUri;

    let world = World::memory();
    let service = constant(&world.timed(60), &Runs::default(), &[]);
    for (original, seen, hits) in [
        ("http://a.example/x/y", "http://b.example/y", false),
        ("http://a.example/x/y", "http://a.example/y", true),
        ("/x/y", "http://b.example/y", false),
        ("http://b.example/x/y", "/y", false),
    ] {
        for nth in 0..2 {
            let mut request = crate::support::get(seen, &[("host", "a.example")]);
            let original = OriginalUri(original.parse().unwrap());
            request.extensions_mut().insert(original);
            let got = service.ask(request).await;
            if nth == 1 {
                assert_eq!(got.is_hit(), hits, "{seen}: {}", got.how());
            }
        }
    }
}

/// Whichever of them the handler has changed: what is stored of the path goes.
#[tokio::test]
async fn a_change_by_who_names_two_authorities_counts_for_all() {
    for world in World::both() {
        let service = constant(
            &world.by_headers(),
            &Runs::default(),
            &[("cache-control", "max-age=60")],
        );
        for (uri, host) in [
            ("http://a.example/", "b.example"),
            ("/", "a.example, b.example"),
            ("http://user@a.example/", ""),
        ] {
            let victim = [("host", "a.example")];
            service.get_with("/", &victim).await;
            assert!(service.get_with("/", &victim).await.is_hit());
            let change = crate::support::request("POST", uri, &[("host", host)]);
            service.ask(change).await;
            assert!(
                !service.get_with("/", &victim).await.is_hit(),
                "{uri} {host}"
            );
        }
    }
}
