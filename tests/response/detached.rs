//! Where a miss runs: in its client's own task, and in one of its own once the client has gone away.

use crate::support::{Cached, Got, Nothing, Runs, World, after_the_leader_left, cached, get, with};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use nori_cache::response::CacheResponse;
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tower::{Layer, Service, ServiceExt};

/// What a future answers at its first poll.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

#[tokio::test]
async fn requests_that_begin_before_any_is_answered_run_the_handler_once() {
    // Each is looked up when it is made, and finds nothing; the handler never waits.
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |_, run| async move {
            with(&[], format!("run {run}"))
        });
        let mut services: Vec<_> = (0..10).map(|_| service.clone()).collect();
        let calls: Vec<_> = services
            .iter_mut()
            .map(|service| service.call(get("/", &[])))
            .collect();
        for call in calls {
            let got = Got::from(call.await.unwrap()).await;
            assert_eq!(got.text(), "run 1");
        }
        assert_eq!(runs.count(), 1);
    }
}

#[tokio::test]
async fn in_memory_a_miss_waits_for_its_handler_only_and_is_stored_at_once() {
    let world = World::memory();
    let service = cached(&world.timed(60), &Runs::default(), |_, run| async move {
        with(&[], format!("run {run}"))
    });
    let first = at_once(service.clone().oneshot(get("/", &[])));
    assert!(first.is_some());
    // Not even the body has been read.
    assert_eq!(service.get("/").await.text(), "run 1");
    assert!(service.get("/").await.is_hit());
}

#[tokio::test]
async fn in_memory_a_hit_needs_no_waiting_and_neither_does_one_of_a_variant() {
    let world = World::memory();
    let layer = world.timed(60);
    let service = cached(&layer, &Runs::default(), |request, _| async move {
        let coding = request.headers().get("accept-encoding").cloned();
        let coding = coding.map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
        with(&[("vary", "accept-encoding")], coding)
    });
    for coding in ["gzip", "br"] {
        let headers = [("accept-encoding", coding)];
        assert!(!service.get_with("/", &headers).await.is_hit());
        let hit = at_once(service.clone().oneshot(get("/", &headers)));
        let hit = Got::from(hit.expect("it is there").unwrap()).await;
        assert!(hit.is_hit());
        assert_eq!(hit.text(), coding);
    }
    assert!(!service.get("/").await.is_hit());
    world.advance(60);
    let stale = service.get_with("/", &[("accept-encoding", "br")]).await;
    assert!(!stale.is_hit());
    layer.purge_prefix("view:").await.unwrap();
    assert!(!service.get("/").await.is_hit());
}

tokio::task_local! {
    static CLIENT: u32;
}

#[tokio::test]
async fn the_handler_sees_what_belongs_to_its_clients_task() {
    for world in World::both() {
        let service = cached(&world.timed(60), &Runs::default(), |_, _| async move {
            with(&[], CLIENT.with(u32::to_string))
        });
        let got = CLIENT.scope(7, async move { service.get("/").await }).await;
        assert_eq!(got.text(), "7");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_behind_the_clients_back_releases_everyone() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |_, run| async move {
            sleep(Duration::from_secs(1)).await;
            assert!(run > 1, "the first one panics");
            with(&[], format!("run {run}"))
        });
        let got = after_the_leader_left(&service).await;
        assert_eq!(got.text(), "run 2");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_never_heard_of_again_starts_nothing() {
    let world = World::memory();
    let runs = Runs::default();
    let service = cached(&world.timed(60), &runs, |_, run| async move {
        with(&[], format!("run {run}"))
    });
    drop(service.clone().call(get("/", &[])));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(runs.count(), 0);
}

#[test]
fn without_a_runtime_a_client_that_goes_away_takes_the_handler_along() {
    let world = World::memory();
    let gate = Arc::new(Semaphore::new(0));
    let closed = Arc::clone(&gate);
    let runs = Runs::default();
    let service = cached(&world.timed(60), &runs, move |_, run| {
        let gate = Arc::clone(&closed);
        async move {
            gate.acquire().await.unwrap().forget();
            with(&[], format!("run {run}"))
        }
    });
    assert!(at_once(service.clone().oneshot(get("/", &[]))).is_none());
    // The key is free again.
    gate.add_permits(1);
    assert!(at_once(service.clone().oneshot(get("/", &[]))).is_some());
    assert!(at_once(service.oneshot(get("/", &[]))).is_some());
    assert_eq!(runs.count(), 2);
}

/// A body in one piece that does not say beforehand how long it is.
struct Piece(Option<Bytes>);

impl Body for Piece {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn pieces(
    layer: &CacheResponse,
    runs: &Runs,
    piece: Option<&'static str>,
) -> impl Service<
    Request<Nothing>,
    Response = Response<nori_cache::response::CacheBody<Piece>>,
    Error = Infallible,
> + Clone
+ use<> {
    let runs = runs.clone();
    layer.layer(tower::service_fn(move |_: Request<Nothing>| {
        runs.add();
        std::future::ready(Ok(Response::new(Piece(piece.map(Bytes::from)))))
    }))
}

#[tokio::test]
async fn one_piece_that_proves_too_large_reaches_the_client_and_is_not_stored() {
    for (limit, want) in [(4, 2), (5, 1)] {
        let world = World::memory();
        let (layer, runs) = (world.timed(60).max_body(limit), Runs::default());
        let service = pieces(&layer, &runs, Some("12345"));
        for _ in 0..2 {
            let response = service.clone().oneshot(get("/", &[])).await.unwrap();
            assert_eq!(Got::from(response).await.text(), "12345");
        }
        assert_eq!(runs.count(), want, "{limit}");
    }
}

#[tokio::test]
async fn a_body_without_any_piece_is_stored() {
    let (world, runs) = (World::memory(), Runs::default());
    let service = pieces(&world.timed(60), &runs, None);
    for _ in 0..2 {
        let response = service.clone().oneshot(get("/", &[])).await.unwrap();
        assert_eq!(Got::from(response).await.text(), "");
    }
    assert_eq!(runs.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_handlers_that_never_wait_run_once_for_each_key() {
    let runs = Runs::default();
    let service = cached(&World::memory().timed(60), &runs, |_, run| async move {
        with(&[], format!("run {run}"))
    });
    for key in 0..500 {
        let asks = (0..4).map(|_| {
            let service = service.clone();
            tokio::spawn(async move { service.get(&format!("/{key}")).await })
        });
        for ask in asks.collect::<Vec<_>>() {
            assert_eq!(ask.await.unwrap().text(), format!("run {}", key + 1));
        }
    }
    assert_eq!(runs.count(), 500);
}
