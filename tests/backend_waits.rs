//! Loads and updates that wait for each other, for themselves, or for one that hangs.
#![cfg(feature = "backend")]

#[path = "common/watchdog.rs"]
mod watchdog;

use nori_cache::{CacheBackendExt, Error, MemoryCacheBackend, Ttl};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use watchdog::{block_on, ends};

type Backend = Arc<MemoryCacheBackend>;

fn backend() -> Backend {
    Arc::new(MemoryCacheBackend::new(100))
}

/// Loads `outer`, whose loader meets the other's at the barrier and then loads `inner`.
fn crossing(backend: &Backend, meet: &Barrier, outer: &str, inner: &str) -> Result<u64, Error> {
    let load = || async {
        meet.wait();
        let other = || async { Ok::<_, Infallible>(1) };
        let other: u64 = backend.get_or_load(inner, Ttl::Never, other).await?;
        Ok::<_, Error>(other + 1)
    };
    block_on(backend.get_or_load(outer, Ttl::Never, load))
}

#[test]
fn loads_that_wait_for_each_other() {
    for _ in 0..50 {
        let (backend, meet) = (backend(), Arc::new(Barrier::new(2)));
        let answers = ends({
            let backend = Arc::clone(&backend);
            move || {
                thread::scope(|scope| {
                    let one = scope.spawn(|| crossing(&backend, &meet, "a", "b"));
                    let other = scope.spawn(|| crossing(&backend, &meet, "b", "a"));
                    [one.join().unwrap(), other.join().unwrap()]
                })
            }
        });
        // One of them goes ahead on its own: both are answered.
        let mut answers = answers.map(Result::unwrap);
        answers.sort_unstable();
        assert_eq!(answers, [2, 3]);
    }
}

/// Updates `outer`, whose closure meets the other's once and then updates `inner`.
fn crossing_update(backend: &Backend, meet: &Barrier, outer: &str, inner: &str) {
    let mut first = true;
    let update = |n: Option<u64>| {
        let meets = std::mem::take(&mut first);
        async move {
            if meets {
                meet.wait();
            }
            let add = async |n: Option<u64>| n.unwrap_or(0) + 1;
            backend.atomic_update(inner, None, add).await.unwrap();
            n.unwrap_or(0) + 1
        }
    };
    block_on(backend.atomic_update(outer, None, update)).unwrap();
}

#[test]
fn updates_that_wait_for_each_other() {
    for _ in 0..50 {
        let (backend, meet) = (backend(), Arc::new(Barrier::new(2)));
        ends({
            let backend = Arc::clone(&backend);
            move || {
                thread::scope(|scope| {
                    scope.spawn(|| crossing_update(&backend, &meet, "a", "b"));
                    scope.spawn(|| crossing_update(&backend, &meet, "b", "a"));
                });
            }
        });
        let both = block_on(backend.get_many::<u64>(&["a", "b"])).unwrap();
        assert!(both.iter().all(|n| n.is_some_and(|n| n >= 2)), "{both:?}");
    }
}

/// A waker that says how many of it there are.
struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

fn polled<F: Future + ?Sized>(future: Pin<&mut F>, waker: &Waker) -> bool {
    matches!(future.poll(&mut Context::from_waker(waker)), Poll::Ready(_))
}

/// Callers that come while one hangs, and leave.
#[test]
fn who_leaves_a_load_leaves_no_waker() {
    let backend = backend();
    let hang = || async {
        pending::<()>().await;
        Ok::<u64, Infallible>(1)
    };
    let mut leader = pin!(backend.get_or_load("k", Ttl::Never, hang));
    assert!(!polled(leader.as_mut(), Waker::noop()));
    let count = Arc::new(Counted);
    for _ in 0..100 {
        let waker = Waker::from(Arc::clone(&count));
        let mut waits = pin!(backend.get_or_load("k", Ttl::Never, hang));
        assert!(!polled(waits.as_mut(), &waker));
    }
    assert_eq!(Arc::strong_count(&count), 1, "wakers of who has left");
}

#[test]
fn who_leaves_a_line_leaves_no_waker() {
    let backend = backend();
    let hang = |_: Option<u64>| pending::<u64>();
    let mut first = pin!(backend.atomic_update("k", None, hang));
    assert!(!polled(first.as_mut(), Waker::noop()));
    let count = Arc::new(Counted);
    for _ in 0..100 {
        let waker = Waker::from(Arc::clone(&count));
        let mut waits = pin!(backend.atomic_update("k", None, hang));
        assert!(!polled(waits.as_mut(), &waker));
    }
    assert_eq!(Arc::strong_count(&count), 1, "wakers of who has left");
}

/// One waker that panics keeps nobody else from being woken.
#[test]
fn a_waker_that_panics() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            // Not `panic!`: the hook would print it.
            std::panic::resume_unwind(Box::new(()));
        }
    }
    struct Counts(AtomicU64);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let backend = backend();
    let (go, gone) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(Counts(AtomicU64::new(0))),
    );
    let held = || async {
        std::future::poll_fn(|_| match go.load(Ordering::SeqCst) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        Ok::<u64, Infallible>(1)
    };
    let mut leader = pin!(backend.get_or_load("k", Ttl::Never, held));
    assert!(!polled(leader.as_mut(), Waker::noop()));
    let wakers = [
        Waker::from(Arc::new(Panics)),
        Waker::from(Arc::clone(&gone)),
        Waker::from(Arc::new(Panics)),
        Waker::from(Arc::clone(&gone)),
    ];
    let mut waiting: Vec<_> = wakers
        .iter()
        .map(|_| Box::pin(backend.get_or_load("k", Ttl::Never, held)))
        .collect();
    for (waits, waker) in waiting.iter_mut().zip(&wakers) {
        assert!(!polled(waits.as_mut(), waker));
    }
    go.store(1, Ordering::SeqCst);
    assert!(polled(leader.as_mut(), Waker::noop()));
    assert_eq!(gone.0.load(Ordering::SeqCst), 2);
    for mut waits in waiting {
        assert!(polled(waits.as_mut(), Waker::noop()));
    }
}
