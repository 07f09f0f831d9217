//! A GET that carries something is not cached, however it is sent; one that carries nothing is.

use crate::support::wires::{Http2, raw, telling};
use crate::support::{Nothing, Runs, World, modes};
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Layer, ServiceExt};

const BYPASS: &str = "nori-cache; fwd=bypass; detail=content";

fn ask<B>(body: B) -> Request<B> {
    Request::get("http://a.example/search").body(body).unwrap()
}

/// A body whose length nobody knows before it has come.
struct Streamed(std::slice::Iter<'static, &'static str>);

fn streamed(pieces: &'static [&'static str]) -> Streamed {
    Streamed(pieces.iter())
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.next();
        Poll::Ready(piece.map(|piece| Ok(Frame::data((*piece).into()))))
    }
}

#[tokio::test]
async fn over_http2_what_is_carried_needs_no_length() {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let mut client = Http2::to(telling(&layer, &runs)).await;
            for pieces in [&["query"][..], &["que", "ry"], &["", "query"]] {
                let got = client.ask(ask(streamed(pieces))).await;
                assert!(got.text().ends_with("sent 5"), "{}", got.text());
                assert_eq!(got.how(), BYPASS);
            }
            let got = client.ask(ask(Full::from("query"))).await;
            assert_eq!(got.how(), BYPASS);
            // Nothing of that was stored.
            let plain = client.ask(ask(Nothing::new())).await;
            assert!(plain.text().starts_with("run 5 "), "{}", plain.text());
            let hit = client.ask(ask(Nothing::new())).await;
            assert!(hit.is_hit(), "{}", hit.how());
            // And nothing that is stored is given to who carries something.
            let got = client.ask(ask(streamed(&["query"]))).await;
            assert!(got.text().starts_with("run 6 "), "{}", got.text());
        }
    }
}

/// Trailers are no part of the length that a header tells of.
#[tokio::test]
async fn over_http2_trailers_are_carried_too() {
    for world in World::both() {
        for layer in modes(&world) {
            let mut client = Http2::to(telling(&layer, &Runs::default())).await;
            for length in [None, Some("0")] {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("x-tenant", "acme".parse().unwrap());
                let body = Nothing::new().with_trailers(async move { Some(Ok(trailers)) });
                let mut request = ask(body);
                if let Some(length) = length {
                    let length = length.parse().unwrap();
                    request.headers_mut().insert("content-length", length);
                }
                let got = client.ask(request).await;
                assert_eq!(got.how(), BYPASS, "{length:?}");
            }
            let mut plain = ask(Nothing::new());
            plain
                .headers_mut()
                .insert("content-length", "0".parse().unwrap());
            client.ask(plain.clone()).await;
            assert!(client.ask(plain).await.is_hit());
        }
    }
}

#[tokio::test]
async fn over_http1_a_plain_get_is_cached_and_no_other() {
    for world in World::both() {
        for layer in modes(&world) {
            let service = telling(&layer, &Runs::default());
            for (lines, body) in [
                ("content-length: 5\r\n", "query"),
                ("transfer-encoding: chunked\r\n", "5\r\nquery\r\n0\r\n\r\n"),
                ("transfer-encoding: chunked\r\n", "0\r\n\r\n"),
                ("expect: 100-continue\r\ncontent-length: 5\r\n", "query"),
                ("expect: 100-continue\r\n", ""),
            ] {
                let request = format!("GET / HTTP/1.1\r\nhost: a.example\r\n{lines}\r\n{body}");
                let answer = raw(service.clone(), request.as_bytes()).await;
                assert!(answer.contains(BYPASS), "{lines}: {answer}");
            }
            for lines in ["", "content-length: 0\r\n"] {
                let request = format!(
                    "GET /{} HTTP/1.1\r\nhost: a.example\r\n{lines}\r\n",
                    lines.len()
                );
                raw(service.clone(), request.as_bytes()).await;
                let answer = raw(service.clone(), request.as_bytes()).await;
                assert!(answer.contains("; hit"), "{lines}: {answer}");
            }
        }
    }
}

/// What a body says of itself before it is read.
struct Said {
    ended: bool,
    hint: SizeHint,
}

impl Body for Said {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

#[tokio::test]
async fn a_body_is_taken_at_its_word() {
    let unknown = SizeHint::default();
    let mut least = SizeHint::new();
    least.set_lower(1);
    for (ended, hint, cached) in [
        (true, unknown, true),
        (false, SizeHint::with_exact(0), true),
        (false, unknown, false),
        (false, least, false),
        (false, SizeHint::with_exact(7), false),
    ] {
        for method in ["GET", "HEAD"] {
            let world = World::memory();
            let service = world.timed(60).layer(tower::service_fn(|_: Request<Said>| {
                std::future::ready(Ok::<_, Infallible>(http::Response::new(Nothing::new())))
            }));
            let ask = |method: &str, ended| {
                let body = Said { ended, hint };
                Request::builder()
                    .method(method)
                    .uri("/")
                    .body(body)
                    .unwrap()
            };
            service.clone().oneshot(ask("GET", true)).await.unwrap();
            let response = service.oneshot(ask(method, ended)).await.unwrap();
            let got = crate::support::Got::from(response).await;
            assert_eq!(
                got.is_hit(),
                cached,
                "{method} {ended} {hint:?}: {}",
                got.how()
            );
            assert_eq!(got.how() == BYPASS, !cached);
        }
    }
}
