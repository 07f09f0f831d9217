//! TLS to a real server.

use crate::server::{Server, free_port};
use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend};
use std::env;
use std::process::Command;
use std::time::Duration;

/// The certificates that are trusted come from the environment, so from a process of its own.
#[test]
fn certificates_are_checked() {
    let port = free_port().to_string();
    let file = |name| format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"));
    let server = Server::with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    for (trusted, expected) in [("ca.pem", "works"), ("server.key", "fails")] {
        let status = Command::new(env::current_exe().unwrap())
            .args(["--exact", "tls::a_process_that_connects", "--nocapture"])
            .env("SSL_CERT_FILE", file(trusted))
            .env_remove("SSL_CERT_DIR")
            .env("NORI_CACHE_TEST_PORT", &port)
            .env("NORI_CACHE_TEST_EXPECTED", expected)
            .status();
        assert!(status.unwrap().success(), "{trusted}");
    }
    assert_eq!(server.ask(&["GET", "cache:k"]), "1");
}

/// The process of the test above; does nothing by itself.
#[tokio::test]
async fn a_process_that_connects() {
    let Ok(port) = env::var("NORI_CACHE_TEST_PORT") else {
        return;
    };
    let url = format!("rediss://localhost:{port}");
    let builder = RedisCacheBackend::builder()
        .url(url)
        .timeout(Duration::from_secs(60));
    let backend = builder.build().unwrap();
    match env::var("NORI_CACHE_TEST_EXPECTED").unwrap().as_str() {
        "works" => {
            backend.verify().await.unwrap();
            backend.set("k", 1, Duration::from_secs(60)).await.unwrap();
        }
        _ => {
            let error = backend.verify().await.unwrap_err();
            assert!(error.is_connection() || error.is_rejected(), "{error}");
            println!("{error}");
        }
    }
}
