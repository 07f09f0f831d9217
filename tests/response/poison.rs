//! What else a client may say so that its answer is kept for others.

use crate::support::wires::{raw, telling};
use crate::support::{Cached, Runs, World, cached, constant, modes, with};
use http::header::{CONNECTION, HeaderName};

/// A handler that looks at the first line of `x-tenant`, and says so in `Vary`.
fn by_tenant(layer: &nori_cache::response::CacheResponse) -> impl Cached + use<> {
    cached(layer, &Runs::default(), |request, _| async move {
        let tenant = request.headers().get("x-tenant");
        let tenant = tenant.map_or("none", |tenant| tenant.to_str().unwrap());
        let headers = [("vary", "x-tenant"), ("cache-control", "max-age=60")];
        with(&headers, format!("tenant {tenant:?}"))
    })
}

/// Empty lines and empty members are what a handler can see.
#[tokio::test]
async fn an_empty_line_before_a_value_does_not_pass_for_the_value() {
    for world in World::both() {
        for layer in modes(&world) {
            let service = by_tenant(&layer);
            for lines in [
                &["", "acme"][..],
                &[",acme"],
                &[" ,acme"],
                &["", "", "acme"],
                &["acme,"],
            ] {
                let headers: Vec<_> = lines.iter().map(|line| ("x-tenant", *line)).collect();
                service.get_with("/", &headers).await;
            }
            let victim = service.get_with("/", &[("x-tenant", "acme")]).await;
            assert_eq!(victim.text(), "tenant \"acme\"");
            assert!(
                service
                    .get_with("/", &[("x-tenant", "acme")])
                    .await
                    .is_hit()
            );
        }
    }
}

/// Two lines of what is no list are not one line with a comma.
#[tokio::test]
async fn lines_of_cookies_are_not_one() {
    for world in World::both() {
        let service = cached(
            &world.timed(60),
            &Runs::default(),
            |request, _| async move {
                let cookie = request.headers()["cookie"].to_str().unwrap();
                with(&[("vary", "cookie")], cookie.to_owned())
            },
        );
        let evil = service
            .get_with("/", &[("cookie", "a=1"), ("cookie", "b=2")])
            .await;
        assert_eq!(evil.text(), "a=1");
        let victim = service.get_with("/", &[("cookie", "a=1,b=2")]).await;
        assert_eq!(victim.text(), "a=1,b=2");
    }
}

/// A proxy behind the layer takes off what `Connection` names, so the layer sees more than the origin does.
#[tokio::test]
async fn what_connection_names_does_not_count_as_said() {
    for world in World::both() {
        for layer in modes(&world) {
            let service = cached(&layer, &Runs::default(), |mut request, _| async move {
                let named = request.headers().get(CONNECTION).cloned();
                let named = named.as_ref().map_or("", |named| named.to_str().unwrap());
                for name in named.split(',') {
                    if let Ok(name) = name.trim().parse::<HeaderName>() {
                        request.headers_mut().remove(name);
                    }
                }
                let tenant = request.headers().get("x-tenant");
                let tenant = tenant.map_or("none", |tenant| tenant.to_str().unwrap());
                with(
                    &[("vary", "x-tenant"), ("cache-control", "max-age=60")],
                    tenant.to_owned(),
                )
            });
            for named in [
                "x-tenant",
                "close, X-Tenant",
                "keep-alive,x-tenant ,te",
                "a b",
                "\"close\"",
                "close;x",
            ] {
                let headers = [("x-tenant", "acme"), ("connection", named)];
                let evil = service.get_with("/", &headers).await;
                assert_eq!(
                    evil.how(),
                    "nori-cache; fwd=bypass; detail=connection",
                    "{named}"
                );
            }
            let victim = service.get_with("/", &[("x-tenant", "acme")]).await;
            assert_eq!(victim.text(), "acme");
            for named in ["close", "Keep-Alive", "keep-alive, TE", ", close,", ""] {
                let headers = [("x-tenant", "acme"), ("connection", named)];
                assert!(service.get_with("/", &headers).await.is_hit(), "{named}");
            }
        }
    }
}

#[tokio::test]
async fn plain_connections_are_kept_as_they_are() {
    let world = World::memory();
    let service = telling(&world.timed(60), &Runs::default());
    for named in ["keep-alive", "close", "TE, close"] {
        let request = format!("GET / HTTP/1.1\r\nhost: a.example\r\nconnection: {named}\r\n\r\n");
        raw(service.clone(), request.as_bytes()).await;
        let answer = raw(service.clone(), request.as_bytes()).await;
        assert!(answer.contains("; hit"), "{named}: {answer}");
    }
}

#[tokio::test]
async fn a_stream_of_events_is_one_however_it_is_written() {
    for world in World::both() {
        for kind in [
            " text/event-stream",
            "\ttext/EVENT-stream;x",
            "text/event-stream",
        ] {
            let service = cached(
                &world.timed(60),
                &Runs::default(),
                move |_, run| async move { with(&[("content-type", kind)], format!("run {run}")) },
            );
            service.get("/").await;
            assert!(!service.get("/").await.is_hit(), "{kind:?}");
        }
        constant(&world.timed(60), &Runs::default(), &[])
            .get("/")
            .await;
    }
}
