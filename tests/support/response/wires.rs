//! Real connections in memory: hyper at both ends, or a client that writes what it likes.

use super::{Got, Runs, settled};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use nori_cache::response::{CacheBody, CacheResponse, CacheResponseService};
use std::convert::Infallible;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tower::{Layer, Service, ServiceExt};

const ROOM: usize = 64 * 1024;

/// What servers of this kind serve.
pub trait Served:
    Service<
        Request<Incoming>,
        Response = Response<CacheBody<Full<Bytes>>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Served for S where
    S: Service<
            Request<Incoming>,
            Response = Response<CacheBody<Full<Bytes>>>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// A handler that says `Host`, `:authority` or both, the target, what it was sent, and how often it ran.
pub fn telling(layer: &CacheResponse, runs: &Runs) -> impl Served + use<> {
    let runs = runs.clone();
    let handler = move |request: Request<Incoming>| {
        let run = runs.add();
        async move {
            let (parts, body) = request.into_parts();
            let hosts = parts.headers.get_all("host").iter();
            let hosts: Vec<_> = hosts.map(|host| host.to_str().unwrap()).collect();
            let sent = body.collect().await.unwrap().to_bytes();
            let text = format!(
                "run {run} host {hosts:?} authority {:?} sent {}",
                parts.uri.authority().map(|authority| authority.as_str()),
                sent.len()
            );
            let response = Response::builder().header("cache-control", "max-age=60");
            Ok::<_, Infallible>(response.body(Full::from(text)).unwrap())
        }
    };
    let service: CacheResponseService<_> = layer.layer(tower::service_fn(handler));
    service
}

/// A client of a connection by HTTP/2.
pub struct Http2(http2::SendRequest<Sent>);

/// What a request carries.
pub type Sent = http_body_util::combinators::BoxBody<Bytes, Infallible>;

impl Http2 {
    pub async fn to(service: impl Served) -> Self {
        let (near, far) = tokio::io::duplex(ROOM);
        tokio::spawn(async move {
            let service = service_fn(move |request| service.clone().oneshot(request));
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(far), service)
                .await
        });
        let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(near))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    pub async fn ask<B>(&mut self, request: Request<B>) -> Got
    where
        B: http_body::Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    {
        self.0.ready().await.unwrap();
        let request = request.map(BodyExt::boxed);
        let got = Got::from(self.0.send_request(request).await.unwrap()).await;
        settled().await;
        got
    }
}

/// Sends a request by HTTP/1.1, byte for byte, on a connection of its own; what comes back, until the server closes it. Waits
/// until all that is to be stored is.
pub async fn raw(service: impl Served, request: &[u8]) -> String {
    let (mut near, far) = tokio::io::duplex(ROOM);
    let serving = tokio::spawn(serve_one(service, far));
    near.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    near.read_to_end(&mut answer).await.unwrap();
    serving.await.unwrap();
    settled().await;
    String::from_utf8(answer).unwrap()
}

async fn serve_one(service: impl Served, far: DuplexStream) {
    let service = service_fn(move |request| service.clone().oneshot(request));
    let _ = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(far), service)
        .await;
}
