//! What is stored holds no memory but its own, and what waits for readers that do not read is bounded.

use crate::TURN;
use crate::support::{Got, Nothing, World, get};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use nori_cache::response::{CacheBody, CacheResponse};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll};
use tower::{Layer, ServiceExt};

/// How many bytes of buffers are alive.
#[derive(Debug, Clone, Default)]
struct Alive(Arc<AtomicUsize>);

/// A buffer that is counted.
struct Buffer(Vec<u8>, Alive);

impl Alive {
    fn buffer(&self, size: usize) -> Bytes {
        self.0.fetch_add(size, SeqCst);
        Bytes::from_owner(Buffer(vec![b'x'; size], self.clone()))
    }

    fn bytes(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.1.0.fetch_sub(self.0.len(), SeqCst);
    }
}

/// A body that has as many pieces, and makes each when it is asked for it, or when it is asked once more; and then ends, or waits
/// for ever.
struct Pieces {
    left: usize,
    ends: bool,
    rests: bool,
    rested: bool,
    make: Box<dyn FnMut() -> Bytes + Send>,
}

impl Pieces {
    fn new(left: usize, make: impl FnMut() -> Bytes + Send + 'static) -> Self {
        Self {
            left,
            ends: true,
            rests: false,
            rested: false,
            make: Box::new(make),
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.rested = self.rests && !self.rested;
        if self.rested {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.left == 0 {
            return if self.ends {
                Poll::Ready(None)
            } else {
                Poll::Pending
            };
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data((self.make)()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.ends
    }
}

fn serve(
    layer: &CacheResponse,
    handler: impl Fn() -> Response<Pieces> + Clone + Send + 'static,
) -> impl tower::Service<Request<Nothing>, Response = Response<CacheBody<Pieces>>, Error = Infallible>
+ Clone {
    layer.layer(tower::service_fn(move |_: Request<Nothing>| {
        std::future::ready(Ok(handler()))
    }))
}

#[tokio::test]
async fn what_is_cut_from_large_buffers_does_not_keep_them() {
    let _turn = TURN.lock().await;
    const BUFFER: usize = 64 * 1024;
    for pieces in [1, 3] {
        let (world, alive) = (World::memory(), Alive::default());
        let layer = world.timed(60);
        let buffers = alive.clone();
        let service = serve(&layer, move || {
            // As a client of another server gives them: head and body are cut from what was read.
            let cut = buffers.clone();
            let body = Pieces::new(pieces, move || cut.buffer(BUFFER).slice(500..510));
            let mut response = Response::new(body);
            let value = buffers.buffer(BUFFER).slice(100..110);
            let value = HeaderValue::from_maybe_shared(value).unwrap();
            response.headers_mut().insert("x-value", value);
            response
        });
        for nth in 0..200 {
            let uri = format!("/{nth}");
            let first = service.clone().oneshot(get(&uri, &[])).await.unwrap();
            assert_eq!(Got::from(first).await.body.len(), pieces * 10);
            let hit = service.clone().oneshot(get(&uri, &[])).await.unwrap();
            let hit = Got::from(hit).await;
            assert!(hit.is_hit());
            assert_eq!(
                (hit.text(), hit.header("x-value")),
                (&*"x".repeat(pieces * 10), Some("xxxxxxxxxx"))
            );
        }
        assert_eq!(alive.bytes(), 0, "{pieces}");
    }
}

/// For the tasks that copy to come to where they wait.
async fn all_wait() {
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
}

const KIB: usize = 1024;
const MIB: i64 = 1024 * 1024;

/// Five hundred clients of as many pages, who read nothing: what the process holds more than before.
async fn unread(layer: &CacheResponse, body: impl Fn() -> Pieces + Clone + Send + 'static) -> i64 {
    let service = serve(layer, move || Response::new(body()));
    let before = crate::counting::bytes();
    let mut readers = Vec::new();
    for nth in 0..500 {
        let uri = format!("/{nth}");
        let response = service.clone().oneshot(get(&uri, &[])).await.unwrap();
        readers.push(response.into_body());
        all_wait().await;
    }
    let held = crate::counting::bytes() - before;
    let counted = layer.stats().buffered as i64;
    assert!(counted <= 64 * MIB, "{counted}");
    drop(readers);
    // Bodies that stop have a deadline.
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(layer.stats().buffered, 0);
    held
}

#[tokio::test(start_paused = true)]
async fn five_hundred_readers_that_do_not_read_keep_64_mib_at_most() {
    let _turn = TURN.lock().await;
    // Large pieces; small ones, which cost more than their bytes; small ones of large buffers; and a handler that stops.
    for (count, size, cut, ends) in [
        (30, 64 * KIB, 64 * KIB, true),
        (30, 64 * KIB, 64 * KIB, false),
        (20_000, 10, 10, true),
        (1900, 64 * KIB, KIB, true),
    ] {
        let world = World::memory();
        let layer = world.timed(60);
        let held = unread(&layer, move || {
            let mut body = Pieces::new(count, move || Bytes::from(vec![b'x'; size]).slice(..cut));
            body.ends = ends;
            body
        })
        .await;
        // A large piece that nobody has asked for yet may wait with each, as without the layer.
        let most = 64 * MIB + 500 * (2 * size as i64 + 16 * KIB as i64);
        let stats = layer.stats();
        // But for what the store holds.
        let held = held - stats.stored as i64 * (count * cut) as i64;
        assert!(held < most, "{count} {size}: {held}");
        assert!(stats.unbuffered > 300, "{}", stats.unbuffered);
        assert_eq!(stats.refused, 0);
    }
}

#[tokio::test]
async fn what_is_not_buffered_reaches_its_reader_and_the_next_is_stored_again() {
    let _turn = TURN.lock().await;
    for world in World::both() {
        let layer = world.timed(60).max_buffered(120 * KIB as u64);
        let service = serve(&layer, || {
            let mut body = Pieces::new(10, || Bytes::from(vec![b'x'; 10 * KIB]));
            body.rests = true;
            Response::new(body)
        });
        let ask = || service.clone().oneshot(get("/", &[]));
        let lazy = ask().await.unwrap();
        all_wait().await;
        assert!(layer.stats().unbuffered == 1 && layer.stats().buffered > 0);
        // It is too slow to be stored, and gets it all.
        let got = Got::from(lazy).await;
        assert_eq!(got.body.len(), 100 * KIB);
        assert_eq!((layer.stats().buffered, layer.stats().stored), (0, 0));
        // One that keeps up may have it stored, and nothing was learnt about the key that forbids it.
        // On a task: those take turns with the one that copies.
        let got = tokio::spawn(Got::from(ask().await.unwrap())).await.unwrap();
        assert_eq!((got.body.len(), got.is_hit()), (100 * KIB, false));
        assert_eq!((layer.stats().buffered, layer.stats().stored), (0, 1));
        assert!(Got::from(ask().await.unwrap()).await.is_hit());
    }
}

#[tokio::test]
async fn who_follows_a_response_that_is_not_buffered_runs_the_handler() {
    let _turn = TURN.lock().await;
    for world in World::both() {
        let layer = world.timed(60).max_buffered(50 * KIB as u64);
        let service = serve(&layer, || {
            let mut body = Pieces::new(10, || Bytes::from(vec![b'x'; 10 * KIB]));
            body.rests = true;
            Response::new(body)
        });
        let ask = || service.clone().oneshot(get("/", &[]));
        let (lazy, follower) = tokio::join!(ask(), ask());
        assert_eq!(Got::from(follower.unwrap()).await.body.len(), 100 * KIB);
        assert_eq!(Got::from(lazy.unwrap()).await.body.len(), 100 * KIB);
        let stats = layer.stats();
        assert_eq!((stats.misses, stats.unbuffered, stats.running), (2, 2, 0));
    }
}

#[tokio::test]
async fn a_reader_that_keeps_up_gets_the_pieces_themselves() {
    let _turn = TURN.lock().await;
    let world = World::memory();
    let layer = world.timed(60);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    // One piece a time, each after the one before has been read.
    let places = Arc::new(AtomicUsize::new(0));
    let made = Arc::clone(&places);
    let service = serve(&layer, move || {
        let (sender, made) = (sender.clone(), Arc::clone(&made));
        Response::new(Pieces::new(3, move || {
            let piece = Bytes::from(vec![b'x'; 64 * KIB]);
            made.fetch_add(1, SeqCst);
            sender.send(piece.clone()).unwrap();
            piece
        }))
    });
    let mut body = service.oneshot(get("/", &[])).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.as_ptr(), receiver.recv().await.unwrap().as_ptr());
    drop(body.collect().await);
    assert_eq!(places.load(SeqCst), 3);
}
