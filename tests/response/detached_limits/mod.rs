//! What goes on though nobody waits for it has an end, and there is no more of it than the layer allows.

mod surroundings;

use crate::support::{Cached, Nothing, Runs, World, get};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use nori_cache::response::{CacheBody, CacheResponse};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep, timeout};
use tower::{Layer, Service, ServiceExt};

const SECOND: Duration = Duration::from_secs(1);
/// What the layer's documentation says.
const TIMEOUT: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// What the layer's documentation says.
const MAX_DETACHED: usize = 1024;

/// Counts what is alive.
#[derive(Debug, Clone, Default)]
struct Alive(Arc<AtomicUsize>);

struct Guard(Alive);

impl Alive {
    fn guard(&self) -> Guard {
        self.0.fetch_add(1, SeqCst);
        Guard(self.clone())
    }

    fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, SeqCst);
    }
}

/// A body that gives `pieces` pieces, a minute after the other, and ends then; or gives one and never ends.
struct Slow {
    _guard: Guard,
    pieces: usize,
    ends: bool,
    next: Pin<Box<Sleep>>,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.pieces == 0 {
            return if self.ends {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        std::task::ready!(self.next.as_mut().poll(context));
        self.pieces -= 1;
        self.next = Box::pin(sleep(60 * SECOND));
        Poll::Ready(Some(Ok(Frame::data("piece".into()))))
    }
}

impl Alive {
    fn body(&self, pieces: usize, ends: bool) -> Slow {
        let (guard, next) = (self.guard(), Box::pin(sleep(Duration::ZERO)));
        Slow {
            _guard: guard,
            pieces,
            ends,
            next,
        }
    }
}

trait Served:
    Service<
        Request<Nothing>,
        Response = Response<CacheBody<Slow>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
}

impl<S> Served for S where
    S: Service<
            Request<Nothing>,
            Response = Response<CacheBody<Slow>>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

fn served<F, Fut>(layer: &CacheResponse, handler: F) -> impl Served + use<F, Fut>
where
    F: Fn(Request<Nothing>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Slow>> + Send + 'static,
{
    layer.layer(tower::service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    }))
}

/// A handler that never answers.
fn hung(layer: &CacheResponse, alive: &Alive, runs: &Runs) -> impl Served + use<> {
    let (alive, runs) = (alive.clone(), runs.clone());
    served(layer, move |_| {
        runs.add();
        let guard = alive.guard();
        async move {
            let _guard = guard;
            pending().await
        }
    })
}

/// A handler that answers at once, with a body that stops after its first piece.
fn stalled(layer: &CacheResponse, alive: &Alive) -> impl Served + use<> {
    let alive = alive.clone();
    served(layer, move |_| {
        let body = alive.body(1, false);
        async move { Response::new(body) }
    })
}

/// Clients that each ask for something, and go away.
async fn ask_and_leave(service: &impl Served, uris: impl Iterator<Item = String>, after: Duration) {
    let asks: Vec<_> = uris
        .map(|uri| tokio::spawn(timeout(after, service.clone().oneshot(get(&uri, &[])))))
        .collect();
    for ask in asks {
        drop(ask.await.unwrap());
    }
    // For tasks to see that nobody listens any longer.
    sleep(Duration::from_millis(1)).await;
}

fn keys(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|nth| format!("/{nth}"))
}

#[tokio::test(start_paused = true)]
async fn handlers_that_hang_end_when_their_clients_are_gone() {
    let (world, alive) = (World::memory(), Alive::default());
    let layer = world.timed(60);
    let service = hung(&layer, &alive, &Runs::default());
    ask_and_leave(&service, keys(2000), SECOND).await;
    assert_eq!(alive.count(), MAX_DETACHED);
    let stats = layer.stats();
    assert_eq!((stats.detached, stats.undetached), (1024, 2000 - 1024));
    sleep(TIMEOUT - SECOND).await;
    assert_eq!(alive.count(), MAX_DETACHED);
    sleep(2 * SECOND).await;
    assert_eq!(alive.count(), 0);
    let stats = layer.stats();
    assert_eq!((stats.detached, stats.detached_timeouts), (0, 1024));
    assert_eq!(stats.running, 0, "their flights are over");
}

#[tokio::test(start_paused = true)]
async fn of_those_that_ask_for_one_key_past_all_patience_one_handler_stays_and_ends() {
    let (world, alive) = (World::memory(), Alive::default());
    let layer = world.timed(60);
    let service = hung(&layer, &alive, &Runs::default());
    let all = std::iter::repeat_n("/".to_owned(), 201);
    ask_and_leave(&service, all, 30 * SECOND).await;
    assert_eq!(alive.count(), 1);
    sleep(TIMEOUT + SECOND).await;
    assert_eq!(alive.count(), 0);
    assert_eq!(layer.stats().running, 0);
}

#[tokio::test(start_paused = true)]
async fn bodies_that_stall_end_when_their_clients_are_gone() {
    let (world, alive) = (World::memory(), Alive::default());
    let layer = world.timed(60);
    let service = stalled(&layer, &alive);
    ask_and_leave(&service, keys(1500), SECOND).await;
    assert_eq!(alive.count(), MAX_DETACHED);
    let stats = layer.stats();
    assert_eq!((stats.detached, stats.undetached), (1024, 1500 - 1024));
    sleep(TIMEOUT + SECOND).await;
    assert_eq!(alive.count(), 0);
    let stats = layer.stats();
    assert_eq!((stats.detached, stats.detached_timeouts), (0, 1024));
    assert_eq!((stats.running, stats.buffered, stats.stored), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_client_waits_for_or_reads_has_no_end() {
    for world in World::both() {
        let alive = Alive::default();
        let layer = world.timed(60).detached_timeout(SECOND);
        let bodies = alive.clone();
        let service = served(&layer, move |_| {
            let bodies = bodies.clone();
            async move {
                sleep(DAY).await;
                Response::new(bodies.body(100, true))
            }
        });
        let answered = service.clone().oneshot(get("/", &[])).await.unwrap();
        let got = crate::support::Got::from(answered).await;
        assert_eq!(got.body.len(), 500);
        let hit = service.clone().oneshot(get("/", &[])).await.unwrap();
        assert!(crate::support::Got::from(hit).await.is_hit());
        let stats = layer.stats();
        assert_eq!((stats.detached_timeouts, stats.undetached), (0, 0));
        assert_eq!((alive.count(), stats.detached), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn with_no_permits_everything_ends_with_its_client() {
    for world in World::both() {
        let alive = Alive::default();
        let layer = world.timed(60).max_detached(0);
        let service = hung(&layer, &alive, &Runs::default());
        ask_and_leave(&service, keys(10), SECOND).await;
        assert_eq!((alive.count(), layer.stats().undetached), (0, 10));
        let layer = world.timed(60).max_detached(0);
        let service = stalled(&layer, &alive);
        ask_and_leave(&service, keys(10), SECOND).await;
        assert_eq!((alive.count(), layer.stats().undetached), (0, 10));
        assert_eq!(layer.stats().running, 0);
        // And is stored all the same, if the client stays.
        let layer = world.timed(60).max_detached(0).key_prefix("whole");
        let bodies = alive.clone();
        let service = served(&layer, move |_| {
            let body = bodies.body(3, true);
            async move { Response::new(body) }
        });
        for hit in [false, true] {
            let answered = service.clone().oneshot(get("/", &[])).await.unwrap();
            assert_eq!(crate::support::Got::from(answered).await.is_hit(), hit);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_permit_that_is_given_back_serves_the_next() {
    let (world, alive) = (World::memory(), Alive::default());
    let layer = world.timed(60).max_detached(2);
    let bodies = alive.clone();
    // A handler of a minute, and a body of two.
    let service = served(&layer, move |_| {
        let (guard, bodies) = (bodies.guard(), bodies.clone());
        async move {
            let _guard = guard;
            sleep(20 * SECOND).await;
            Response::new(bodies.body(1, true))
        }
    });
    for round in 0..3 {
        let keys = (0..3).map(|nth| format!("/{round}/{nth}"));
        ask_and_leave(&service, keys, SECOND).await;
        assert_eq!((alive.count(), layer.stats().detached), (2, 2));
        sleep(20 * SECOND).await;
        assert_eq!((alive.count(), layer.stats().detached), (0, 0));
        let stats = layer.stats();
        assert_eq!(
            (stats.stored, stats.undetached),
            (2 * (round + 1), round + 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_and_its_body_have_one_deadline() {
    let (world, alive) = (World::memory(), Alive::default());
    let layer = world.timed(60);
    let bodies = alive.clone();
    let service = served(&layer, move |_| {
        let bodies = bodies.clone();
        async move {
            sleep(41 * SECOND).await;
            Response::new(bodies.body(5, true))
        }
    });
    ask_and_leave(&service, keys(1), SECOND).await;
    sleep(58 * SECOND).await;
    assert_eq!(alive.count(), 1);
    sleep(2 * SECOND).await;
    assert_eq!(alive.count(), 0);
    let stats = layer.stats();
    assert_eq!(
        (stats.detached_timeouts, stats.stored, stats.detached),
        (1, 0, 0)
    );
}

/// Those who follow a handler that is given up, or a body, run their own.
#[tokio::test(start_paused = true)]
async fn whoever_waits_for_what_is_given_up_is_released() {
    for (max, wait) in [(0, 10), (1, 60)] {
        for in_body in [false, true] {
            let (world, alive, runs) = (World::memory(), Alive::default(), Runs::default());
            let layer = world.timed(60).max_detached(max).patience(DAY);
            let (bodies, counted) = (alive.clone(), runs.clone());
            let service = served(&layer, move |_| {
                let (run, bodies) = (counted.add(), bodies.clone());
                async move {
                    match run {
                        1 if in_body => Response::new(bodies.body(1, false)),
                        1 => {
                            let _guard = bodies.guard();
                            pending().await
                        }
                        _ => Response::new(bodies.body(1, true)),
                    }
                }
            });
            let first = service.clone();
            let leader = tokio::spawn(timeout(10 * SECOND, async {
                let answered = first.oneshot(get("/", &[])).await;
                // Reads until it goes away.
                let mut body = answered.unwrap().into_body();
                while let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut body).await {}
                pending::<()>().await;
            }));
            sleep(SECOND).await;
            let start = tokio::time::Instant::now();
            let followed = service.clone().oneshot(get("/", &[])).await.unwrap();
            assert_eq!(crate::support::Got::from(followed).await.text(), "piece");
            let waited = start.elapsed().as_secs();
            assert!(leader.await.unwrap().is_err());
            let deadline = if max == 0 { 9 } else { 9 + wait };
            assert_eq!(waited, deadline, "{max} {in_body}");
            assert_eq!((runs.count(), alive.count()), (2, 0));
            assert_eq!((layer.stats().running, layer.stats().stored), (0, 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_timeout_is_none_and_the_shortest_is_at_once() {
    for (limit, after, want) in [
        (Duration::MAX, 1000 * DAY, 1),
        (Duration::from_secs(1 << 62), 1000 * DAY, 1),
        (Duration::ZERO, SECOND, 0),
        (Duration::from_nanos(1), SECOND, 0),
    ] {
        let (world, alive) = (World::memory(), Alive::default());
        let layer = world.timed(60).detached_timeout(limit);
        let service = hung(&layer, &alive, &Runs::default());
        ask_and_leave(&service, keys(1), SECOND).await;
        sleep(after).await;
        assert_eq!(alive.count(), want, "{limit:?}");
    }
}

/// A body that is always there, and never ends; or gives nothing for ever.
struct Endless(&'static [u8], #[expect(dead_code)] Guard);

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0)))))
    }
}

#[tokio::test]
async fn a_body_that_never_waits_ends_as_well() {
    // On the system's clock: time that is paused goes on only when all wait.
    for piece in [&b""[..], b"x"] {
        let (world, alive) = (World::memory(), Alive::default());
        let layer = world
            .timed(60)
            .max_body(1 << 40)
            .max_buffered(1 << 40)
            .detached_timeout(Duration::from_millis(20));
        let bodies = alive.clone();
        let service = layer.layer(tower::service_fn(move |_: Request<Nothing>| {
            let body = Endless(piece, bodies.guard());
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        }));
        drop(service.oneshot(get("/", &[])).await.unwrap());
        while alive.count() > 0 {
            tokio::task::yield_now().await;
        }
        let stats = layer.stats();
        assert_eq!((stats.detached_timeouts, stats.stored), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_hangs_ends_and_another_one_starts() {
    for world in World::both() {
        let (alive, runs) = (Alive::default(), Runs::default());
        let layer = world.timed(60).max_detached(1).stale_while_revalidate(DAY);
        let hangs = Arc::new(AtomicBool::new(false));
        let (bodies, counted, does_hang) = (alive.clone(), runs.clone(), Arc::clone(&hangs));
        let service = served(&layer, move |_| {
            counted.add();
            let (hangs, bodies) = (does_hang.load(SeqCst), bodies.clone());
            async move {
                if hangs {
                    let _guard = bodies.guard();
                    pending::<()>().await;
                }
                Response::new(bodies.body(1, true))
            }
        });
        let how = |uri: &'static str| {
            let service = service.clone();
            async move {
                let answered = service.oneshot(get(uri, &[])).await.unwrap();
                let got = crate::support::Got::from(answered).await;
                got.how().to_owned()
            }
        };
        for uri in ["/", "/other"] {
            how(uri).await;
        }
        world.advance(61);
        hangs.store(true, SeqCst);
        assert!(how("/").await.ends_with("detail=stale"));
        hangs.store(false, SeqCst);
        assert_eq!(
            (alive.count(), layer.stats().detached, runs.count()),
            (1, 1, 3)
        );
        // There is no permit for another refresh: the client waits for the handler.
        assert!(
            how("/other")
                .await
                .contains("fwd=stale; fwd-status=200; stored")
        );
        assert!(how("/").await.ends_with("detail=stale"));
        assert_eq!(runs.count(), 4);
        sleep(TIMEOUT + SECOND).await;
        assert_eq!((alive.count(), layer.stats().detached), (0, 0));
        assert!(how("/").await.ends_with("detail=stale"));
        assert_eq!(runs.count(), 5);
        assert!(how("/").await.contains("; hit; ttl=60"));
    }
}

#[tokio::test(start_paused = true)]
async fn storing_has_no_deadline_so_that_a_purge_finds_what_is_being_stored() {
    let (world, remote) = World::remote();
    let stop = crate::support::remote::Stop::default();
    *remote.stop.lock().unwrap() = Some(stop.clone());
    let layer = world.timed(60).detached_timeout(SECOND);
    let bodies = Alive::default();
    let service = served(&layer, move |_| {
        let body = bodies.body(1, true);
        async move { Response::new(body) }
    });
    drop(service.clone().oneshot(get("/", &[])).await.unwrap());
    stop.before.meet().await;
    sleep(DAY).await;
    assert_eq!(
        (layer.stats().detached, layer.stats().detached_timeouts),
        (1, 0)
    );
    stop.before.go().await;
    stop.after.meet().await;
    layer.purge_key("view:/:").await.unwrap();
    sleep(DAY).await;
    stop.after.go().await;
    crate::support::settled().await;
    assert_eq!((layer.stats().detached, layer.stats().stored), (0, 0));
    let again = service.oneshot(get("/", &[])).await.unwrap();
    assert!(!crate::support::Got::from(again).await.is_hit());
}
