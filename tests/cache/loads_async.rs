//! Loads as futures, on no executor in particular.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use crate::watchdog::{block_on, ends};
use nori_cache::{Cache, Error, Loaded};

fn poll<F: Future + ?Sized>(future: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    future.as_mut().poll(&mut Context::from_waker(waker))
}

/// Counts wakes.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn new() -> (Arc<Self>, Waker) {
        let wakes = Arc::<Self>::default();
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ready when the cell is full.
async fn from(cell: &Cell<Option<u32>>) -> u32 {
    poll_fn(|_| cell.take().map_or(Poll::Pending, Poll::Ready)).await
}

fn assert_send<T: Send>(value: T) -> T {
    value
}

#[test]
fn a_hit_is_ready_at_once_and_the_futures_are_send() {
    let cache: Cache<String, u32> = Cache::new(10);
    assert_eq!(
        block_on(assert_send(cache.get_or_insert_async("a", || async { 1 }))),
        1
    );
    let never = || pending::<Result<u32, Error>>();
    let hit = pin!(assert_send(cache.try_get_or_insert_async("a", never)));
    let polled = hit.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(1))));
    let minute = std::time::Duration::from_secs(60);
    assert_eq!(
        block_on(cache.get_or_insert_async_with_ttl("b", minute, || ready(2))),
        2
    );
    let loaded = cache.get_or_insert_loaded_async("c", || ready(Loaded::new(3).ttl(minute)));
    assert_eq!(block_on(loaded), 3);
    let loaded = cache.try_get_or_insert_async_with_ttl("d", minute, || ready(Ok::<_, Error>(4)));
    assert_eq!(block_on(loaded).unwrap(), 4);
    let load = || ready(Ok::<_, Error>(Loaded::new(5).ttl(minute)));
    assert_eq!(
        block_on(cache.try_get_or_insert_loaded_async("e", load)).unwrap(),
        5
    );
    for key in ["b", "c", "d", "e"] {
        assert_ne!(cache.ttl(key), Some(nori_cache::Ttl::Never), "{key}");
    }
}

#[test]
fn a_thousand_futures_load_once_and_are_woken_once() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let source = Cell::new(None);
    let loads = Cell::new(0);
    let (wakes, waker) = Wakes::new();
    let mut all: Vec<_> = (0..1_000)
        .map(|_| {
            Box::pin(cache.get_or_insert_async(&1, || {
                loads.set(loads.get() + 1);
                from(&source)
            }))
        })
        .collect();
    for future in &mut all {
        assert!(poll(future, &waker).is_pending());
    }
    assert_eq!((loads.get(), wakes.count()), (1, 0));
    source.set(Some(7));
    let (leader, followers) = all.split_first_mut().unwrap();
    assert_eq!(poll(leader, &waker), Poll::Ready(7));
    assert_eq!(wakes.count(), followers.len());
    for future in followers {
        assert_eq!(poll(future, &waker), Poll::Ready(7));
    }
    let stats = cache.stats().loads;
    assert_eq!((loads.get(), stats.succeeded, stats.coalesced), (1, 1, 999));
}

#[test]
fn a_leader_that_is_dropped_hands_over() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let (wakes, waker) = Wakes::new();
    let mut leader = Box::pin(cache.get_or_insert_async(&1, pending));
    let mut second = Box::pin(cache.get_or_insert_async(&1, || ready(2)));
    let mut third = Box::pin(cache.get_or_insert_async(&1, || ready(3)));
    assert!(poll(&mut leader, &waker).is_pending());
    assert!(poll(&mut second, &waker).is_pending());
    assert!(poll(&mut third, &waker).is_pending());
    drop(leader);
    assert_eq!(wakes.count(), 2);
    assert_eq!(poll(&mut third, &waker), Poll::Ready(3));
    assert_eq!(poll(&mut second, &waker), Poll::Ready(3));
    let loads = cache.stats().loads;
    assert_eq!(
        (loads.abandoned, loads.panicked, loads.succeeded),
        (1, 0, 1)
    );
    assert!(format!("{cache:?}").contains("loads: 0"), "{cache:?}");
}

#[test]
fn a_follower_that_is_dropped_leaves_nothing() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let source = Cell::new(None);
    let (wakes, waker) = Wakes::new();
    let mut leader = Box::pin(cache.get_or_insert_async(&1, || from(&source)));
    assert!(poll(&mut leader, &waker).is_pending());
    let before = Arc::strong_count(&wakes);
    let mut follower = Box::pin(cache.get_or_insert_async(&1, || ready(2)));
    assert!(poll(&mut follower, &waker).is_pending());
    assert_eq!(Arc::strong_count(&wakes), before + 1);
    drop(follower);
    assert_eq!(Arc::strong_count(&wakes), before);
    source.set(Some(1));
    assert_eq!(poll(&mut leader, &waker), Poll::Ready(1));
    assert_eq!(wakes.count(), 0);
}

#[test]
fn a_loader_that_panics_or_fails_hands_over() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let source = Cell::new(None);
    let (_, waker) = Wakes::new();
    let mut leader = Box::pin(cache.try_get_or_insert_async(&1, || async {
        match from(&source).await {
            0 => panic!("of the loader"),
            _ => Err(Error::closed()),
        }
    }));
    let mut follower = Box::pin(cache.get_or_insert_async(&1, || ready(2)));
    assert!(poll(&mut leader, &waker).is_pending());
    assert!(poll(&mut follower, &waker).is_pending());
    source.set(Some(0));
    catch_unwind(AssertUnwindSafe(|| poll(&mut leader, &waker))).unwrap_err();
    drop(leader);
    assert_eq!(poll(&mut follower, &waker), Poll::Ready(2));
    let failed = block_on(cache.try_get_or_insert_async(&2, || ready(Err(Error::closed()))));
    assert!(failed.unwrap_err().is_closed());
    let loads = cache.stats().loads;
    assert_eq!((loads.panicked, loads.failed, loads.succeeded), (1, 1, 1));
}

#[test]
fn a_thread_waits_for_a_future_and_a_future_for_a_thread() {
    ends(|| {
        let cache: Cache<u32, u32> = Cache::new(10);
        let (_, waker) = Wakes::new();
        // A future leads.
        let source = Cell::new(None);
        let mut leader = Box::pin(cache.get_or_insert_async(&1, || from(&source)));
        assert!(poll(&mut leader, &waker).is_pending());
        thread::scope(|scope| {
            let follower = scope.spawn(|| cache.get_or_insert_with(&1, || 2));
            source.set(Some(1));
            assert_eq!(poll(&mut leader, &waker), Poll::Ready(1));
            assert_eq!(follower.join().unwrap(), 1);
        });
        // A thread leads.
        thread::scope(|scope| {
            let (leads, led) = std::sync::mpsc::channel();
            let (go, gone) = std::sync::mpsc::channel();
            let cache = &cache;
            let leader = scope.spawn(move || {
                cache.get_or_insert_with(&2, || {
                    leads.send(()).unwrap();
                    gone.recv().unwrap();
                    3
                })
            });
            led.recv().unwrap();
            let mut follower = Box::pin(cache.get_or_insert_async(&2, || ready(4)));
            let (wakes, waker) = Wakes::new();
            assert!(poll(&mut follower, &waker).is_pending());
            go.send(()).unwrap();
            assert_eq!(leader.join().unwrap(), 3);
            assert_eq!(wakes.count(), 1);
            assert_eq!(poll(&mut follower, &waker), Poll::Ready(3));
        });
    });
}

#[test]
fn loads_of_ones_own_key_and_in_circles_are_errors() {
    ends(|| {
        let cache: Cache<u32, u32> = Cache::new(10);
        let own = cache.try_get_or_insert_async(&1, || async {
            cache
                .try_get_or_insert_async(&1, || ready(Ok::<_, Error>(2)))
                .await
        });
        assert!(block_on(own).unwrap_err().is_circular());
        // Two that have both begun before they ask for each other's keys.
        let (_, waker) = Wakes::new();
        let begun = Cell::new(0);
        let both = async || {
            begun.set(begun.get() + 1);
            poll_fn(|_| {
                if begun.get() == 2 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        };
        let load = |own: u32, other: u32| {
            let (cache, both) = (&cache, &both);
            async move {
                let load = || async move {
                    both().await;
                    cache
                        .try_get_or_insert_async(&other, || ready(Ok::<_, Error>(0)))
                        .await
                };
                cache.try_get_or_insert_async(&own, load).await
            }
        };
        let mut one = Box::pin(load(1, 2));
        let mut other = Box::pin(load(2, 1));
        assert!(poll(&mut one, &waker).is_pending());
        // Both have begun by now, so it asks for the first one's key.
        assert!(poll(&mut other, &waker).is_pending());
        // That would close the circle.
        let Poll::Ready(Err(error)) = poll(&mut one, &waker) else {
            panic!("nobody is told");
        };
        assert!(error.is_circular());
        // The first has given up, so the other goes on with a loader of its own.
        assert!(matches!(poll(&mut other, &waker), Poll::Ready(Ok(0))));
    });
}

/// A waker whose clone, wake and drop call the cache: they are others' code, and may do so.
struct Busy {
    cache: Cache<u32, u32>,
    depth: RefCell<u32>,
}

impl Busy {
    fn call(&self) {
        *self.depth.borrow_mut() += 1;
        self.cache.remove(&1);
        self.cache.insert(9, 9);
        self.cache.get_or_insert_with(&8, || 8);
        self.cache.clear();
    }
}

#[test]
fn wakers_may_call_the_cache() {
    use std::rc::Rc;
    use std::task::{RawWaker, RawWakerVTable};

    thread_local!(static BUSY: RefCell<Option<Rc<Busy>>> = const { RefCell::new(None) });
    fn call() {
        let busy = BUSY.with(|busy| busy.borrow().clone());
        busy.expect("it is set").call();
    }
    // All state is in the thread-local, so the data pointer is null.
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |_| {
            call();
            RawWaker::new(std::ptr::null(), &VTABLE)
        },
        |_| call(),
        |_| call(),
        |_| call(),
    );
    let cache: Cache<u32, u32> = Cache::new(10);
    let busy = Rc::new(Busy {
        cache: cache.clone(),
        depth: RefCell::new(0),
    });
    BUSY.set(Some(Rc::clone(&busy)));
    // SAFETY: the functions use no data.
    let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &VTABLE)) };
    let source = Cell::new(None);
    let mut leader = Box::pin(cache.get_or_insert_async(&1, || from(&source)));
    let mut follower = Box::pin(cache.get_or_insert_async(&1, || ready(2)));
    assert!(poll(&mut leader, &waker).is_pending());
    assert!(poll(&mut follower, &waker).is_pending());
    source.set(Some(1));
    assert_eq!(poll(&mut leader, &waker), Poll::Ready(1));
    assert_eq!(poll(&mut follower, &waker), Poll::Ready(1));
    assert!(*busy.depth.borrow() >= 2, "it was cloned and woken");
    // The clone of the waker removed the key: the load was overtaken.
    assert_eq!(cache.get(&1), None);
}

#[test]
fn many_keys_as_a_future() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let source = Cell::new(None);
    let (_, waker) = Wakes::new();
    let mut other = Box::pin(cache.get_or_insert_async(&2, || from(&source)));
    assert!(poll(&mut other, &waker).is_pending());
    let calls = RefCell::new(Vec::new());
    let keys = [1, 2, 3];
    let mut many = Box::pin(cache.get_or_load_many_async(&keys, |missing| {
        calls.borrow_mut().push(missing.clone());
        async move {
            missing
                .into_iter()
                .map(|&key| (key, key * 10))
                .collect::<Vec<_>>()
        }
    }));
    assert!(poll(&mut many, &waker).is_pending());
    assert_eq!(*calls.borrow(), [vec![&1, &3]]);
    assert_eq!(
        cache.get(&3),
        Some(30),
        "what it loads itself does not wait for others"
    );
    // The other gives up: it is called once more.
    drop(other);
    let all = vec![Some(10), Some(20), Some(30)];
    assert_eq!(poll(&mut many, &waker), Poll::Ready(all));
    assert_eq!(*calls.borrow(), [vec![&1, &3], vec![&2]]);
    let failed = block_on(cache.try_get_or_load_many_async(&[1, 4], |missing| {
        assert_eq!(missing, [&4]);
        ready(Err::<Vec<(u32, u32)>, _>(Error::closed()))
    }));
    assert!(failed.unwrap_err().is_closed());
}

#[test]
fn a_load_that_is_dropped_while_its_thread_unwinds_has_not_panicked() {
    let cache: Cache<u32, u32> = Cache::new(10);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let mut load = Box::pin(cache.get_or_insert_async(&1, std::future::pending));
        assert!(poll(&mut load, Waker::noop()).is_pending());
        panic!("elsewhere");
    }));
    assert!(unwound.is_err());
    let loads = cache.stats().loads;
    assert_eq!((loads.abandoned, loads.panicked), (1, 0));
    let mut load = Box::pin(cache.get_or_insert_async(&1, || async { panic!("its own") }));
    let polled = std::panic::AssertUnwindSafe(|| poll(&mut load, Waker::noop()));
    assert!(std::panic::catch_unwind(polled).is_err());
    drop(load);
    let loads = cache.stats().loads;
    assert_eq!((loads.abandoned, loads.panicked), (1, 1));
}
