//! Clients that hang up, on a real server with several threads: nothing of theirs stays.

use crate::support::World;
use crate::support::loopback::Server;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use nori_cache::response::{CacheResponse, ResponseStats};
use std::future::pending;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Counts handlers and bodies that are alive, and those that have ended.
#[derive(Debug, Clone, Default)]
struct Count {
    began: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

struct Guard(Count);

impl Count {
    fn guard(&self) -> Guard {
        self.began.fetch_add(1, SeqCst);
        Guard(self.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, SeqCst);
    }
}

/// One piece, and no end.
struct Stalled(Option<Bytes>, #[expect(dead_code)] Guard);

impl http_body::Body for Stalled {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        match self.0.take() {
            Some(piece) => Poll::Ready(Some(Ok(http_body::Frame::data(piece)))),
            None => Poll::Pending,
        }
    }
}

/// Waits for something that comes; a test that waits in vain is ended from outside.
async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        sleep(Duration::from_millis(1)).await;
    }
}

/// Asks, reads so much, and hangs up when told.
async fn ask(server: &Server, path: &str, read: usize) -> TcpStream {
    let socket = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    socket.writable().await.unwrap();
    assert_eq!(socket.try_write(request.as_bytes()).unwrap(), request.len());
    let mut left = read;
    while left > 0 {
        socket.readable().await.unwrap();
        match socket.try_read(&mut vec![0; left]) {
            Ok(0) => panic!("the server hung up"),
            Ok(some) => left -= some,
            // Not ready after all.
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    socket
}

const CLIENTS: usize = 60;
const PERMITS: u64 = 20;

/// What the layer says when all clients of a path have hung up, and all that was theirs has ended.
async fn all_hang_up(path: &str, read: usize, keys: usize) -> ResponseStats {
    let count = Count::default();
    let layer: CacheResponse = World::memory()
        .timed(60)
        // Nobody who follows is to lose it.
        .patience(Duration::from_secs(3600))
        .max_detached(PERMITS as usize)
        .detached_timeout(Duration::from_millis(50));
    let (handlers, bodies) = (count.clone(), count.clone());
    let hung = move || {
        let guard = handlers.guard();
        async move {
            let _guard = guard;
            pending::<()>().await;
        }
    };
    let stalled = move || {
        let body = Stalled(Some(Bytes::from_static(b"piece")), bodies.guard());
        async move { Body::new(body) }
    };
    let app = Router::new()
        .route("/hung", get(hung))
        .route("/stalled", get(stalled))
        .layer(layer.clone());
    let server = Server::start(app).await;
    let mut sockets = Vec::new();
    for nth in 0..CLIENTS {
        let path = format!("{path}?{}", nth % keys);
        sockets.push(ask(&server, &path, read).await);
    }
    until(|| count.began.load(SeqCst) == keys).await;
    // What clients wait for, or read, goes on.
    assert_eq!((count.ended.load(SeqCst), layer.stats().detached), (0, 0));
    drop(sockets);
    until(|| count.ended.load(SeqCst) == count.began.load(SeqCst)).await;
    until(|| layer.stats().running == 0 && layer.stats().detached == 0).await;
    layer.stats()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn handlers_that_hang() {
    let stats = all_hang_up("/hung", 0, CLIENTS).await;
    assert_eq!(stats.undetached + stats.detached_timeouts, CLIENTS as u64);
    assert!(stats.detached_timeouts >= 1);
    assert_eq!((stats.stored, stats.buffered), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bodies_that_stall() {
    let stats = all_hang_up("/stalled", 30, CLIENTS).await;
    assert_eq!(stats.undetached + stats.detached_timeouts, CLIENTS as u64);
    assert!(stats.detached_timeouts >= 1);
    assert_eq!((stats.stored, stats.buffered), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_of_a_handler_that_hangs() {
    let stats = all_hang_up("/hung", 0, 1).await;
    assert_eq!(stats.stored, 0);
}
