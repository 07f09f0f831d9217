//! URLs that are wrong, and passwords that nobody may see.

use crate::server::Server;
use nori_cache::{
    CacheBackend, CacheBackendExt, Error, RedisCacheBackend, RedisCacheBackendBuilder,
};
use std::error::Error as _;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

const SECRET: &str = "hunter2";

/// All that can be seen of an error.
fn shown(error: &Error) -> String {
    let mut all = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        all.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    all
}

fn builder(url: &str) -> RedisCacheBackendBuilder {
    RedisCacheBackend::builder()
        .url(url)
        .timeout(Duration::from_secs(20))
}

#[test]
fn urls_that_are_wrong_are_not_shown() {
    for url in [
        "hunter2",
        "hunter2@host",
        "redis://:hunter2",
        "redis://ana:hunter2",
        "redis://ana:hunter2@host:port",
        "redis://ana:hunter2@host:6379/db",
        "redis://ana:hunter2@host?protocol=hunter2",
        "redis://ana:hunter2@host?password=hunter2",
        "redis://ana:a/hunter2@host:port",
        "redis://ana:a?hunter2@host:port",
        "redis://ana:a@hunter2@host:port",
        "redis://a:hunter2@h1:1,redis://a:hunter2@h2:x",
        "redis://a:1@h1:1,redis://a:hunter2@h2:1",
        "redis+sentinel://ana:hunter2@host:26379",
        "redis+sentinel://host/main?sentinel_password=hunter2&hunter2=1",
        "redis+cluster://ana:hunter2@host:1/3",
        "http://ana:hunter2@host",
        "redis://host:6379/hunter2",
        "redis://host/hunter2",
        "redis://ana:x@host/hunter2",
        "redis+cluster://h1,h2/hunter2",
        "redis+sentinel://host/main/hunter2",
        "redis://host?a=b@hunter2",
        "redis://host/a@hunter2",
        "rediss://host#hunter2",
        "hunter2://host",
        "ana:hunter2://host",
        "redis://",
    ] {
        let builder = builder(url);
        assert!(
            !format!("{builder:?} {builder:#?}").contains(SECRET),
            "{url}"
        );
        let error = builder.build().expect_err(url);
        assert!(error.is_invalid_config());
        assert!(!shown(&error).contains(SECRET), "{url}: {error}");
        assert!(error.to_string().starts_with("url is "), "{error}");
    }
    let error = builder("redis://localhost:6379/one").build().unwrap_err();
    assert!(
        error.to_string().contains("\"redis://localhost:6379/***\""),
        "{error}"
    );
}

#[test]
fn urls_that_are_right() {
    for url in [
        "redis://host",
        "redis://host:6380/3",
        "redis://ana:hunter2@host:6380/3",
        "redis://:hunter2@host?protocol=resp3",
        "redis://[::1]:6379",
        "valkey://host",
        "unix:///run/redis.sock",
        "redis://h1:1,h2:2",
        "redis://h1:1, redis://h2:2",
        "redis://:hunter2@h1,redis://:hunter2@h2",
        "redis+cluster://ana:hunter2@h1:1,h2:2",
        "redis+sentinel://h1,h2:26380,[::1]/main",
        "redis+sentinel://ana:hunter2@h1/main/2?sentinel_user=s&sentinel_password=hunter2",
    ] {
        let backend = builder(url)
            .build()
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let shown = format!("{backend:?}");
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[test]
fn settings_that_are_wrong() {
    let with = RedisCacheBackend::builder;
    for (builder, name) in [
        (with().prefix(""), "prefix"),
        (with().timeout(Duration::ZERO), "timeout"),
        (with().default_ttl(Duration::ZERO), "default_ttl"),
    ] {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_config());
        assert!(error.to_string().starts_with(name), "{error}");
    }
}

#[tokio::test]
async fn a_password_that_is_wrong() {
    let server = Server::start();
    server.ask(&["CONFIG", "SET", "requirepass", "right"]);
    let at = |user: &str| {
        builder(&format!("redis://{user}127.0.0.1:{}", server.port))
            .build()
            .unwrap()
    };

    at(":right@").verify().await.unwrap();
    let wrong = at("ana:hunter2@");
    let error = wrong.verify().await.unwrap_err();
    assert!(error.is_rejected(), "{error}");
    assert!(!shown(&error).contains(SECRET), "{error}");
    assert!(error.to_string().contains(&server.address()), "{error}");
    // The breaker says the same, at once.
    let error = wrong.get::<u8>("k").await.unwrap_err();
    assert!(error.is_rejected(), "{error}");
    let error = at("").verify().await.unwrap_err();
    assert!(
        error.is_rejected() && error.to_string().contains("NOAUTH"),
        "{error}"
    );
}

#[tokio::test]
async fn a_password_with_odd_characters() {
    let server = Server::start();
    server.ask(&["CONFIG", "SET", "requirepass", "a/b?c@d,e%:f"]);
    let url = format!(
        "redis://:a%2Fb%3Fc%40d%2Ce%25%3Af@127.0.0.1:{}",
        server.port
    );
    builder(&url).build().unwrap().verify().await.unwrap();
}

/// Old servers and proxies quote what they do not understand.
#[tokio::test]
async fn a_server_that_quotes_the_password() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            while let Ok(1..) = stream.read(&mut bytes) {
                let quoted = b"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'ana' 'hunter2' 'h%75nter2'\r\n";
                // One for each command of a handshake.
                let _ = stream.write_all(&quoted.repeat(4));
            }
        }
    });
    let backend = builder(&format!("redis://ana:h%75nter2@{address}"))
        .build()
        .unwrap();
    for _ in 0..3 {
        let error = backend.verify().await.unwrap_err();
        let shown = shown(&error);
        assert!(error.is_rejected(), "{error}");
        assert!(shown.contains("unknown command"), "{error}");
        assert!(
            !shown.contains(SECRET) && !shown.contains("h%75nter2"),
            "{error}"
        );
    }
}
