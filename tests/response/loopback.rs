//! A real axum server on a loopback socket, and a real HTTP client.

use super::{Got, Runs};
use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::sleep;

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    pub client: Client<HttpConnector, Empty<Bytes>>,
}

impl Server {
    pub async fn start(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, client }
    }

    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self
            .client
            .request(request.body(Empty::new()).unwrap())
            .await
            .unwrap();
        let got = Got::from(response).await;
        // The last byte may be here before the entry is stored.
        sleep(Duration::from_millis(5)).await;
        got
    }

    pub async fn get(&self, path: &str) -> Got {
        self.ask("GET", path, &[]).await
    }
}

/// A handler that says how often it ran.
pub fn counted(
    runs: &Runs,
) -> impl Fn() -> std::future::Ready<String> + Clone + Send + Sync + 'static {
    let runs = runs.clone();
    move || std::future::ready(format!("run {}", runs.add()))
}
