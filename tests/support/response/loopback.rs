//! A real axum server on a loopback socket, and a real HTTP client.

use super::{Got, Runs, settled};
use axum::Router;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use tokio::net::TcpListener;

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

    /// Asks, and waits until all that is to be stored is.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
        let got = self.ask_now(method, path, headers).await;
        settled().await;
        got
    }

    /// Waits for the response only.
    pub async fn ask_now(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Got {
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
        Got::now(response).await
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
