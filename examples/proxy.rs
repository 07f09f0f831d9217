//! A caching reverse proxy: what a server's `Cache-Control` allows is answered from memory.
//!
//! ```sh
//! cargo run --release --example proxy --features response -- http://localhost:8080
//! curl -i localhost:3000/
//! ```
//!
//! The origin is the first argument, or `ORIGIN`; `PORT` is 3000.

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CONNECTION, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use nori_cache::MemoryCacheBackend;
use nori_cache::response::CacheResponse;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tower::{Layer, service_fn};

#[derive(Clone)]
struct Origin {
    client: Client<HttpConnector, Body>,
    authority: Authority,
}

impl Origin {
    /// Hands a request on. `Host` stays as the client sent it.
    async fn forward(self, mut request: Request<Body>) -> Result<Response<Body>, Infallible> {
        let mut uri = request.uri().clone().into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query.get_or_insert("/".parse().unwrap());
        *request.uri_mut() = Uri::from_parts(uri).unwrap();
        *request.version_mut() = Version::HTTP_11;
        handed_on(request.headers_mut());
        let mut response = match self.client.request(request).await {
            Ok(response) => response.map(Body::new),
            Err(error) => {
                eprintln!("{}: {error}", self.authority);
                let mut response = Response::new(Body::from("the origin cannot be reached\n"));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                response
            }
        };
        handed_on(response.headers_mut());
        Ok(response)
    }
}

/// Takes out what is for one connection only, and says who hands it on: RFC 9110 §7.6.
fn handed_on(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authorization"] {
        headers.remove(name);
    }
    headers.append(VIA, HeaderValue::from_static("1.1 nori-cache"));
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let origin = std::env::args().nth(1).or(std::env::var("ORIGIN").ok());
    let origin: Uri = origin.ok_or("which origin? http://host:port")?.parse()?;
    let origin = Origin {
        client: Client::builder(TokioExecutor::new()).build_http(),
        authority: origin.authority().ok_or("an origin has a host")?.clone(),
    };
    let cached = CacheResponse::from_headers()
        .heuristics(true)
        .cdn_cache_control(true)
        .sort_languages(true)
        // An origin that is gone need not be missed.
        .stale_if_error(Duration::from_secs(60))
        .backend(Arc::new(MemoryCacheBackend::new(10_000)))
        .layer(service_fn(move |request| origin.clone().forward(request)));

    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().fallback_service(cached)).await?;
    Ok(())
}
