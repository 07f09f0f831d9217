//! Loads and updates that wait for each other, for themselves, or for one that hangs.

use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{CacheBackendExt, Error, MemoryCacheBackend, Ttl};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

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
fn who_leaves_a_queue_leaves_no_waker() {
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

/// Somebody who was there before others leaves; the others are told all the same when the load ends.
#[test]
fn who_leaves_takes_nobody_along() {
    struct Counts(AtomicU64);
    impl Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for leaves in 0..4 {
        let backend = backend();
        let go = AtomicU64::new(0);
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
        let woken = Arc::new(Counts(AtomicU64::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let mut waiting: Vec<_> = (0..4)
            .map(|_| Box::pin(backend.get_or_load("k", Ttl::Never, held)))
            .collect();
        for waits in &mut waiting {
            assert!(!polled(waits.as_mut(), &waker));
        }
        drop(waiting.remove(leaves));
        go.store(1, Ordering::SeqCst);
        assert!(polled(leader.as_mut(), Waker::noop()));
        assert_eq!(woken.0.load(Ordering::SeqCst), 3);
    }
}

/// What a waker does when it is woken or dropped, it may do with the cache: even wait for the very load that it waited for.
#[test]
fn wakers_that_come_back() {
    /// Polls once, and leaves.
    struct Returns(Backend, AtomicU64);
    impl Returns {
        fn again(&self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            let mut load = pin!(self.0.get_or_load("k", Ttl::Never, hang));
            let _ = polled(load.as_mut(), Waker::noop());
            let update = |_: Option<u64>| pending::<u64>();
            let mut update = pin!(self.0.atomic_update("k", None, update));
            let _ = polled(update.as_mut(), Waker::noop());
        }
    }
    struct Waking(Arc<Returns>);
    impl Wake for Waking {
        fn wake(self: Arc<Self>) {
            self.0.again();
        }
    }
    impl Drop for Waking {
        fn drop(&mut self) {
            self.0.again();
        }
    }
    ends(|| {
        let backend = backend();
        let returns = Arc::new(Returns(Arc::clone(&backend), AtomicU64::new(0)));
        let waker = || Waker::from(Arc::new(Waking(Arc::clone(&returns))));
        let never = |_: Option<u64>| pending::<u64>();
        let mut leader = Box::pin(backend.get_or_load("k", Ttl::Never, hang));
        assert!(!polled(leader.as_mut(), Waker::noop()));
        let mut first = Box::pin(backend.atomic_update("k", None, never));
        assert!(!polled(first.as_mut(), Waker::noop()));
        let mut load = Box::pin(backend.get_or_load("k", Ttl::Never, hang));
        let mut update = Box::pin(backend.atomic_update("k", None, never));
        for _ in 0..3 {
            // The one of the round before is dropped.
            assert!(!polled(load.as_mut(), &waker()));
            assert!(!polled(update.as_mut(), &waker()));
        }
        drop(leader);
        drop(first);
        drop(load);
        drop(update);
        assert!(returns.1.load(Ordering::SeqCst) >= 6);
    });
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

fn impatient() -> Backend {
    let builder = MemoryCacheBackend::builder().max_keys(100);
    let backend = builder.patience(Duration::from_millis(30)).build();
    Arc::new(backend.unwrap())
}

async fn hang() -> Result<u64, Infallible> {
    pending().await
}

/// It is a timeout, and says where.
#[track_caller]
fn is_late<T>(answer: Result<T, Error>, operation: &str, key: &str) {
    let error = answer.err().expect("nobody waits for ever");
    assert!(error.is_timeout(), "{error}");
    let start = format!("{operation} \"{key}\": timed out: ");
    assert!(error.to_string().starts_with(&start), "{error}");
}

#[test]
fn who_waits_for_a_load_that_hangs_is_told() {
    let backend = impatient();
    let mut leader = pin!(backend.get_or_load("k", Ttl::Never, hang));
    assert!(!polled(leader.as_mut(), Waker::noop()));
    let waits = Arc::clone(&backend);
    let answer = ends(move || block_on(waits.get_or_load("k", Ttl::Never, hang)));
    is_late(answer, "get_or_load", "k");
}

#[test]
fn who_waits_for_an_update_that_hangs_is_told() {
    let backend = impatient();
    let never = |_: Option<u64>| pending::<u64>();
    let mut first = pin!(backend.atomic_update("k", None, never));
    assert!(!polled(first.as_mut(), Waker::noop()));
    let waits = Arc::clone(&backend);
    let answer = ends(move || block_on(waits.atomic_update("k", None, never)));
    is_late(answer, "atomic_update", "k");
}

/// A loader that waits for a load of its own key that it has started elsewhere.
#[test]
fn a_load_that_waits_for_one_that_it_spawned() {
    let backend = impatient();
    let answer = ends(move || {
        let elsewhere = Arc::clone(&backend);
        let load = || async {
            let inner = thread::spawn(move || {
                let load = || async { Ok::<_, Infallible>(1) };
                block_on(elsewhere.get_or_load("k", Ttl::Never, load))
            });
            is_late::<u64>(inner.join().unwrap(), "get_or_load", "k");
            Ok::<u64, Infallible>(2)
        };
        block_on(backend.get_or_load("k", Ttl::Never, load))
    });
    assert_eq!(answer.unwrap(), 2);
}

#[test]
fn an_update_that_waits_for_one_that_it_spawned() {
    let backend = impatient();
    let answer = ends(move || {
        let update = |_: Option<u64>| {
            let elsewhere = Arc::clone(&backend);
            async move {
                let inner = thread::spawn(move || {
                    let add = async |n: Option<u64>| n.unwrap_or(0) + 1;
                    block_on(elsewhere.atomic_update("k", None, add))
                });
                is_late(inner.join().unwrap(), "atomic_update", "k");
                7
            }
        };
        block_on(backend.atomic_update("k", None, update))
    });
    assert_eq!(answer.unwrap(), 7);
}

/// However many leaders give up meanwhile, a caller waits no longer in all: if its wait began anew with each, it would never end.
#[test]
fn leaders_that_give_up_make_no_wait_longer() {
    ends(|| {
        let backend = impatient();
        let load = || Box::pin(backend.get_or_load("k", Ttl::Never, hang));
        let mut leader = load();
        assert!(poll_once(leader.as_mut()).is_none());
        let mut follower = load();
        let answer = loop {
            if let Some(answer) = poll_once(follower.as_mut()) {
                break answer;
            }
            // The next leader comes before the follower can lead.
            drop(std::mem::replace(&mut leader, load()));
            assert!(poll_once(leader.as_mut()).is_none());
        };
        is_late(answer, "get_or_load", "k");
    });
}

/// Loads `a`, whose loader loads `b`, whose loader loads `a`, and so on.
fn loads_without_end<'b>(
    backend: &'b Backend,
    depth: &'b AtomicU64,
    key: &'static str,
) -> Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'b>> {
    Box::pin(async move {
        assert!(depth.fetch_add(1, Ordering::SeqCst) < 1_000, "no end of it");
        let other = if key == "a" { "b" } else { "a" };
        let load = || loads_without_end(backend, depth, other);
        backend.get_or_load(key, Ttl::Never, load).await
    })
}

#[test]
fn loads_that_come_back_to_their_keys_without_end() {
    let (backend, depth) = (backend(), AtomicU64::new(0));
    let error = block_on(loads_without_end(&backend, &depth, "a")).unwrap_err();
    assert!(error.is_load(), "{error}");
    assert!(error.to_string().contains("circular"), "{error}");
    let mut innermost: &Error = &error;
    while let Some(cause) = innermost.cause::<Error>() {
        innermost = cause;
    }
    assert!(innermost.is_circular(), "{innermost}");
}

fn updates_without_end<'b>(
    backend: &'b Backend,
    runs: &'b AtomicU64,
    ends: &'b AtomicU64,
    key: &'static str,
) -> Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'b>> {
    Box::pin(async move {
        let other = if key == "a" { "b" } else { "a" };
        let update = |n: Option<u64>| async move {
            runs.fetch_add(1, Ordering::SeqCst);
            match updates_without_end(backend, runs, ends, other).await {
                Err(error) if error.is_circular() => ends.fetch_add(1, Ordering::SeqCst),
                _ => 0,
            };
            n.unwrap_or(0) + 1
        };
        backend.atomic_update(key, None, update).await
    })
}

#[test]
fn updates_that_come_back_to_their_keys_without_end() {
    let (backend, runs, circles) = (backend(), AtomicU64::new(0), AtomicU64::new(0));
    let error = block_on(updates_without_end(&backend, &runs, &circles, "a")).unwrap_err();
    assert!(error.is_contention(), "{error}");
    assert!(circles.load(Ordering::SeqCst) > 0);
}

/// Three that wait for each other, over two backends, a load and two updates.
#[test]
fn a_circle_of_loads_and_updates_over_two_backends() {
    for _ in 0..20 {
        let (one, two, meet) = (backend(), backend(), Arc::new(Barrier::new(3)));
        let add = async |n: Option<u64>| n.unwrap_or(0) + 1;
        ends(move || {
            thread::scope(|scope| {
                scope.spawn(|| {
                    let load = || async {
                        meet.wait();
                        one.atomic_update("b", None, add).await
                    };
                    block_on(one.get_or_load("a", Ttl::Never, load)).unwrap();
                });
                scope.spawn(|| {
                    let met = AtomicU64::new(0);
                    let update = async |n: Option<u64>| {
                        if met.fetch_add(1, Ordering::SeqCst) == 0 {
                            meet.wait();
                        }
                        two.atomic_update("c", None, add).await.unwrap();
                        n.unwrap_or(0) + 1
                    };
                    block_on(one.atomic_update("b", None, update)).unwrap();
                });
                scope.spawn(|| {
                    let met = AtomicU64::new(0);
                    let update = async |n: Option<u64>| {
                        if met.fetch_add(1, Ordering::SeqCst) == 0 {
                            meet.wait();
                        }
                        let load = || async { Ok::<u64, Infallible>(1) };
                        let a = one.get_or_load("a", Ttl::Never, load).await.unwrap();
                        n.unwrap_or(0) + a
                    };
                    block_on(two.atomic_update("c", None, update)).unwrap();
                });
            });
        });
    }
}

/// Forty thousand callers come to a load that hangs, and leave. What the last ones cost is what the first ones did.
#[test]
fn many_who_come_and_leave() {
    let backend = backend();
    let mut leader = pin!(backend.get_or_load("k", Ttl::Never, hang));
    assert!(!polled(leader.as_mut(), Waker::noop()));
    let count = Arc::new(Counted);
    for _ in 0..40 {
        let mut waiting: Vec<_> = (0..1_000)
            .map(|_| Box::pin(backend.get_or_load("k", Ttl::Never, hang)))
            .collect();
        for waits in &mut waiting {
            let waker = Waker::from(Arc::clone(&count));
            assert!(!polled(waits.as_mut(), &waker));
        }
        // One in the queue of the load, and one among the deadlines.
        assert_eq!(Arc::strong_count(&count), 1 + 2 * 1_000);
        drop(waiting);
        assert_eq!(Arc::strong_count(&count), 1);
    }
}

#[test]
fn no_patience_is_not_allowed() {
    let builder = MemoryCacheBackend::builder().patience(Duration::ZERO);
    let error = builder.build().unwrap_err();
    assert!(error.is_invalid_config(), "{error}");
    let builder = MemoryCacheBackend::builder().patience(Duration::MAX);
    let backend = builder.build().unwrap();
    let load = || async { Ok::<u64, Infallible>(1) };
    let loaded = block_on(backend.get_or_load("k", Ttl::Never, load));
    assert_eq!(loaded.unwrap(), 1);
}
