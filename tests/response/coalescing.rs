//! One run of the handler however many ask; and nobody is left waiting, whatever becomes of it.

use crate::support::{Cached, Got, Nothing, Runs, World, after_the_leader_left, cached, get, with};
use bytes::Bytes;
use futures_lite::join_all;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceExt};

/// What a few lines do need no crate for.
mod futures_lite {
    pub async fn join_all<F>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let tasks: Vec<_> = futures.into_iter().map(tokio::spawn).collect();
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap());
        }
        done
    }
}

fn many<S: Cached + Sync>(
    service: &S,
    count: usize,
) -> Vec<impl Future<Output = Got> + Send + 'static> {
    let ask = |service: S| async move { service.get("/").await };
    (0..count).map(|_| ask(service.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_cold_requests_run_the_handler_once() {
    for world in World::both() {
        let runs = Runs::default();
        let layer = world.timed(60);
        let service = cached(&layer, &runs, |_, run| async move {
            sleep(Duration::from_millis(200)).await;
            with(&[], format!("run {run}"))
        });
        let all = join_all(many(&service, 1000)).await;
        assert!(all.iter().all(|got| got.text() == "run 1"));
        assert_eq!(runs.count(), 1);
        let collapsed = all
            .iter()
            .filter(|got| got.how().ends_with("; collapsed"))
            .count();
        assert_eq!(collapsed as u64, layer.stats().collapsed);
        assert_eq!(collapsed, 999);
    }
}

#[tokio::test(start_paused = true)]
async fn the_handler_survives_the_client_who_started_it() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |_, run| async move {
            sleep(Duration::from_secs(1)).await;
            with(&[], format!("run {run}"))
        });
        let got = after_the_leader_left(&service).await;
        assert_eq!(got.text(), "run 1");
        assert!(service.get("/").await.is_hit());
        assert_eq!(runs.count(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_shared_is_not_waited_for() {
    for world in World::both() {
        for headers in [
            &[("cache-control", "private")][..],
            &[("set-cookie", "a=b")],
            &[("vary", "*")],
        ] {
            let runs = Runs::default();
            let layer = world.timed(60).key_prefix(format!("{headers:?}"));
            let service = cached(&layer, &runs, move |_, run| async move {
                sleep(Duration::from_millis(200)).await;
                with(headers, format!("run {run}"))
            });
            // The first wave learns it from its leader, and then runs side by side.
            let start = Instant::now();
            let all = join_all(many(&service, 20)).await;
            assert_eq!(runs.count(), 20);
            assert!(
                start.elapsed() < Duration::from_millis(450),
                "{:?}",
                start.elapsed()
            );
            let texts: std::collections::HashSet<_> =
                all.iter().map(|got| got.body.clone()).collect();
            assert_eq!(texts.len(), 20, "nobody has another's");
            // The second knows.
            let start = Instant::now();
            join_all(many(&service, 20)).await;
            assert!(
                start.elapsed() < Duration::from_millis(250),
                "{:?}",
                start.elapsed()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn followers_of_another_variant_run_their_own() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |request, _| async move {
            sleep(Duration::from_millis(200)).await;
            let language = request.headers()["accept-language"]
                .to_str()
                .unwrap()
                .to_owned();
            with(&[("vary", "accept-language")], language)
        });
        let ask = |language: &'static str| {
            let service = service.clone();
            async move {
                (
                    language,
                    service
                        .get_with("/", &[("accept-language", language)])
                        .await,
                )
            }
        };
        let all = join_all(["de", "es", "de", "es", "fr", "de", "es"].map(ask)).await;
        for (language, got) in all {
            assert_eq!(got.text(), language);
        }
        assert_eq!(runs.count(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_release_everyone() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |_, run| async move {
            sleep(Duration::from_millis(200)).await;
            let mut response = with(&[], format!("run {run}"));
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        });
        let start = Instant::now();
        let all = join_all(many(&service, 20)).await;
        assert!(all.iter().all(|got| got.status == 500));
        assert!(
            start.elapsed() < Duration::from_millis(450),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_the_leaders_own_and_releases_everyone() {
    for world in World::both() {
        let runs = Runs::default();
        let service = cached(&world.timed(60), &runs, |_, run| async move {
            sleep(Duration::from_millis(200)).await;
            assert!(run > 1, "the first one panics");
            with(&[], format!("run {run}"))
        });
        let tasks: Vec<_> = many(&service, 20).into_iter().map(tokio::spawn).collect();
        let mut panics = 0;
        for task in tasks {
            match task.await {
                Ok(got) => assert_eq!(got.status, 200),
                Err(error) => panics += usize::from(error.is_panic()),
            }
        }
        assert_eq!(panics, 1);
        assert!(service.get("/").await.is_hit());
    }
}

#[tokio::test]
async fn errors_reach_the_client_as_they_are() {
    let world = World::memory();
    let runs = Runs::default();
    let counted = runs.clone();
    let service = world
        .timed(60)
        .layer(tower::service_fn(move |_: Request<Nothing>| {
            let run = counted.add();
            async move {
                match run {
                    1 => Err("broken"),
                    _ => Ok(with(&[], "good")),
                }
            }
        }));
    assert_eq!(
        service.clone().oneshot(get("/", &[])).await.unwrap_err(),
        "broken"
    );
    let response = service.oneshot(get("/", &[])).await.unwrap();
    assert_eq!(Got::from(response).await.text(), "good");
}

#[tokio::test(start_paused = true)]
async fn patience_ends() {
    let world = World::memory();
    let runs = Runs::default();
    let layer = world.timed(60).patience(Duration::from_millis(300));
    let service = cached(&layer, &runs, |_, run| async move {
        sleep(Duration::from_secs(if run == 1 { 60 } else { 1 })).await;
        with(&[], format!("run {run}"))
    });
    let slow = tokio::spawn({
        let service = service.clone();
        async move { service.get("/").await }
    });
    sleep(Duration::from_millis(10)).await;
    let start = Instant::now();
    assert_eq!(service.get("/").await.text(), "run 2");
    assert_eq!(start.elapsed(), Duration::from_millis(1300));
    assert_eq!(slow.await.unwrap().text(), "run 1");
}

/// A body whose frames come when the test sends them.
struct Slow(mpsc::UnboundedReceiver<Result<Bytes, std::io::Error>>);

impl http_body::Body for Slow {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

type Sender = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// A service whose only response has a body that the test feeds.
fn slow(
    world: &World,
) -> (
    Sender,
    impl Service<
        Request<Nothing>,
        Response = Response<
            impl http_body::Body<Data = Bytes, Error: std::fmt::Debug + std::fmt::Display> + Unpin,
        >,
        Error = &'static str,
        Future: Send,
    > + Clone,
) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let body = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    let layer = world.timed(60);
    let service = layer.layer(tower::service_fn(move |_: Request<Nothing>| {
        let body = body.lock().unwrap().take();
        async move {
            body.map(|body| Response::new(Slow(body)))
                .ok_or("once only")
        }
    }));
    (sender, service)
}

#[tokio::test(start_paused = true)]
async fn a_miss_is_streamed_while_it_is_stored() {
    let world = World::memory();
    let (sender, service) = slow(&world);
    let response = service.clone().oneshot(get("/", &[])).await.unwrap();
    let mut body = response.into_body();
    sender.send(Ok("first".into())).unwrap();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, "first");
    assert!(!body.is_end_stream());
    sender.send(Ok("second".into())).unwrap();
    drop(sender);
    assert_eq!(body.collect().await.unwrap().to_bytes(), "second");
    tokio::task::yield_now().await;
    let hit = service.oneshot(get("/", &[])).await.unwrap();
    assert_eq!(
        hit.into_body().collect().await.unwrap().to_bytes(),
        "firstsecond"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_in_the_middle_leaves_a_whole_entry() {
    let world = World::memory();
    let (sender, service) = slow(&world);
    let response = service.clone().oneshot(get("/", &[])).await.unwrap();
    sender.send(Ok("first".into())).unwrap();
    drop(response);
    tokio::task::yield_now().await;
    sender.send(Ok("second".into())).unwrap();
    drop(sender);
    tokio::task::yield_now().await;
    let hit = service.oneshot(get("/", &[])).await.unwrap();
    assert_eq!(
        hit.into_body().collect().await.unwrap().to_bytes(),
        "firstsecond"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_not_stored_and_breaks_for_the_client() {
    let world = World::memory();
    let (sender, service) = slow(&world);
    let response = service.clone().oneshot(get("/", &[])).await.unwrap();
    sender.send(Ok("first".into())).unwrap();
    sender.send(Err(std::io::Error::other("cut"))).unwrap();
    let error = response.into_body().collect().await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), "cut");
    tokio::task::yield_now().await;
    assert_eq!(
        service.oneshot(get("/", &[])).await.map(drop).unwrap_err(),
        "once only"
    );
}

/// Counts how often it was asked whether it is ready, and insists on it.
#[derive(Debug)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false }
    }
}

impl Service<Request<Nothing>> for Strict {
    type Response = Response<crate::support::Body>;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Nothing>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called before it was ready"
        );
        std::future::ready(Ok(with(&[], request.uri().to_string())))
    }
}

#[tokio::test]
async fn readiness_is_honoured() {
    for world in World::both() {
        let mut service = world.timed(60).layer(Strict { ready: false });
        for uri in ["/a", "/a", "/b", "/b", "/a"] {
            let response = service
                .ready()
                .await
                .unwrap()
                .call(get(uri, &[]))
                .await
                .unwrap();
            assert_eq!(Got::from(response).await.text(), uri);
            let mut clone = service.clone();
            clone
                .ready()
                .await
                .unwrap()
                .call(crate::support::request("POST", uri, &[]))
                .await
                .unwrap();
        }
    }
}
