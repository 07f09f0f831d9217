//! What the tests of the response layer share.

#![allow(dead_code)]

pub mod loopback;
pub mod real;
pub mod remote;
pub mod wires;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use nori_cache::response::CacheResponse;
use nori_cache::{CacheBackend, ManualClock, MemoryCacheBackend};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tower::{Layer, Service, ServiceExt};

use remote::Remote;

thread_local! {
    /// Those of the test that runs on this thread.
    static LAYERS: RefCell<Vec<CacheResponse>> = const { RefCell::new(Vec::new()) };
}

/// Has [`settled`] wait for a layer's handlers too.
pub fn watch(layer: &CacheResponse) {
    LAYERS.with_borrow_mut(|layers| layers.push(layer.clone()));
}

/// Waits until all handlers have ended, and their responses are stored: that may be after the last byte has come.
pub async fn settled() {
    let running =
        || LAYERS.with_borrow(|layers| layers.iter().any(|layer| layer.stats().running > 0));
    while running() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A clock that tests move, and a backend that goes by it.
pub struct World {
    pub clock: ManualClock,
    pub backend: Arc<dyn CacheBackend>,
}

impl World {
    pub fn memory() -> Self {
        let clock = ManualClock::new();
        let backend = MemoryCacheBackend::builder()
            .clock(clock.clone())
            .build()
            .unwrap();
        Self {
            clock,
            backend: Arc::new(backend),
        }
    }

    pub fn remote() -> (Self, Arc<Remote>) {
        let clock = ManualClock::new();
        let remote = Remote::new(&clock);
        let backend = Arc::clone(&remote) as Arc<dyn CacheBackend>;
        (Self { clock, backend }, remote)
    }

    /// Both kinds; in `tests/response_redis`, a real Redis.
    pub fn both() -> Vec<Self> {
        match real::IS_USED {
            true => vec![real::world()],
            false => vec![Self::memory(), Self::remote().0],
        }
    }

    pub fn timed(&self, seconds: u64) -> CacheResponse {
        self.on(CacheResponse::ttl(Duration::from_secs(seconds)))
    }

    pub fn by_headers(&self) -> CacheResponse {
        self.on(CacheResponse::from_headers())
    }

    pub fn on(&self, layer: CacheResponse) -> CacheResponse {
        let layer = layer
            .backend(Arc::clone(&self.backend))
            .clock(self.clock.clone());
        watch(&layer);
        layer
    }

    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// How often a handler ran.
#[derive(Debug, Clone, Default)]
pub struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    pub fn add(&self) -> usize {
        self.0.fetch_add(1, SeqCst) + 1
    }
}

pub type Body = Full<Bytes>;

/// What a GET carries.
pub type Nothing = Empty<Bytes>;

/// A cached handler: called with the request and the number of its run.
pub fn cached<F, Fut>(layer: &CacheResponse, runs: &Runs, handler: F) -> impl Cached + use<F, Fut>
where
    F: Fn(Request<()>, usize) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    let runs = runs.clone();
    layer.layer(tower::service_fn(move |request: Request<Nothing>| {
        let answer = handler(request.map(drop), runs.add());
        async move { Ok::<_, Infallible>(answer.await) }
    }))
}

/// A handler that always answers the same.
pub fn constant(
    layer: &CacheResponse,
    runs: &Runs,
    headers: &'static [(&'static str, &'static str)],
) -> impl Cached {
    cached(layer, runs, move |_, run| async move {
        with(headers, format!("run {run}"))
    })
}

pub fn with(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::builder();
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into())).unwrap()
}

pub trait Cached:
    Service<
        Request<Nothing>,
        Response = Response<nori_cache::response::CacheBody<Body>>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
{
    fn ask<B>(&self, request: Request<B>) -> impl Future<Output = Got> + Send + use<Self, B> {
        let service = self.clone();
        let request = request.map(|_| Nothing::new());
        async move {
            let response = service.oneshot(request).await.unwrap();
            Got::from(response).await
        }
    }

    fn get(&self, uri: &str) -> impl Future<Output = Got> + Send {
        self.ask(get(uri, &[]))
    }

    fn get_with(&self, uri: &str, headers: &[(&str, &str)]) -> impl Future<Output = Got> + Send {
        self.ask(get(uri, headers))
    }
}

impl<S> Cached for S where
    S: Service<
            Request<Nothing>,
            Response = Response<nori_cache::response::CacheBody<Body>>,
            Error = Infallible,
            Future: Send,
        > + Clone
        + Send
        + 'static
{
}

pub fn get(uri: &str, headers: &[(&str, &str)]) -> Request<Nothing> {
    request("GET", uri, headers)
}

pub fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<Nothing> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Nothing::new()).unwrap()
}

/// A response that has come in full.
#[derive(Debug, Clone)]
pub struct Got {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Got {
    /// Waits until the response is stored as well.
    pub async fn from<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let got = Self::now(response).await;
        // The handler's task stores after the last byte has gone.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        if real::IS_USED {
            settled().await;
        }
        got
    }

    pub async fn now<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: std::fmt::Debug,
    {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// What this cache says of itself.
    pub fn how(&self) -> &str {
        let last = self.headers.get_all("cache-status").iter().next_back();
        last.map_or("", |value| value.to_str().unwrap())
    }

    pub fn is_hit(&self) -> bool {
        self.how().contains("; hit")
    }
}

/// Both modes; the handlers of the second must say how long.
pub fn modes(world: &World) -> [CacheResponse; 2] {
    [
        world.timed(60).key_prefix("t"),
        world.by_headers().key_prefix("h"),
    ]
}

pub type Headers = &'static [(&'static str, &'static str)];

/// Whatever comes with these headers reaches the client as it is, and is never stored.
pub async fn assert_never_stored(headers: Headers) {
    for world in World::both() {
        for layer in modes(&world) {
            let runs = Runs::default();
            let service = constant(&layer, &runs, headers);
            for run in 1..4 {
                let got = service.get("/").await;
                assert_eq!(got.text(), format!("run {run}"), "{headers:?}");
                for (name, value) in headers {
                    let all: Vec<_> = got.headers.get_all(*name).iter().collect();
                    assert!(all.iter().any(|other| other == value), "{headers:?}");
                }
            }
        }
    }
}

/// What a request gets that follows another one, whose client goes away before the handler has answered.
pub async fn after_the_leader_left(service: &impl Cached) -> Got {
    let leader = timeout(Duration::from_millis(100), service.get("/"));
    let follower = async {
        sleep(Duration::from_millis(50)).await;
        service.get("/").await
    };
    let (gone, got) = tokio::join!(leader, follower);
    assert!(gone.is_err(), "the leader was answered");
    got
}

/// What may stand in the place of an entry, made from a good one.
pub fn poisons(entry: &str) -> Vec<String> {
    let mut poisons: Vec<String> = (0..entry.len())
        .step_by(7)
        .map(|end| entry[..end].to_owned())
        .collect();
    for (from, to) in [
        ("\"status_code\":200", "\"status_code\":99"),
        ("\"status_code\":200", "\"status_code\":9999"),
        ("\"status_code\":200", "\"status_code\":101"),
        ("\"status_code\":200", "\"status_code\":\"200\""),
        ("\"content-type\",\"text", "\"content-type\",\"\\n"),
        ("\"length\":5", "\"length\":6"),
        ("\"born\":", "\"born\":-"),
        ("\"fresh\":60000", "\"fresh\":99999999999999999999"),
        ("\"headers\":[", "\"headers\":[7,"),
        ("cnVuIDE=", "%%%"),
        ("\"vary\":[]", "\"vary\":[[\"\",1]]"),
    ] {
        let poison = entry.replacen(from, to, 1);
        assert_ne!(poison, entry, "{from}");
        poisons.push(poison);
    }
    poisons.extend([
        "null".into(),
        "[]".into(),
        "{}".into(),
        "7".into(),
        "\"\"".into(),
        "[".repeat(5000),
    ]);
    poisons
}

/// For how many seconds a response with these headers is served again.
pub async fn lives(layer: impl Fn(&World) -> CacheResponse, headers: Headers) -> u64 {
    let world = World::memory();
    let service = constant(&layer(&world), &Runs::default(), headers);
    service.get("/").await;
    for second in 0..200 {
        if !service.get("/").await.is_hit() {
            return second;
        }
        world.advance(1);
    }
    200
}
