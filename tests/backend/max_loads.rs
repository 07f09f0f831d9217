//! A limit for how many loads go on at a time: who waits for that, in which order, for how long, and who need not.

use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{CacheBackendExt, Error, MemoryCacheBackend, Ttl};
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

type Loading<'b> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'b>>;

fn backend(max_loads: usize, max_waiting: usize) -> MemoryCacheBackend {
    let builder = MemoryCacheBackend::builder()
        .max_loads(max_loads)
        .max_waiting_loads(max_waiting)
        .patience(HOUR);
    builder.build().unwrap()
}

/// Loads a key by way of a call for many.
fn load<'b, Fut>(
    backend: &'b MemoryCacheBackend,
    key: &'static str,
    mut f: impl FnMut() -> Fut + Send + 'b,
) -> Loading<'b>
where
    Fut: Future<Output = u64> + Send + 'b,
{
    Box::pin(async move {
        let loader = |_: Vec<&'static str>| {
            let loaded = f();
            async move { Ok::<_, Infallible>([(key, loaded.await)]) }
        };
        let keys = [key];
        let loaded = backend.get_or_load_many(&keys, Ttl::Never, loader).await?;
        Ok(loaded[0].unwrap())
    })
}

/// What loaders that a test lets go do, and when.
#[derive(Default)]
struct Stage {
    begun: Mutex<Vec<&'static str>>,
    may_end: AtomicBool,
}

impl Stage {
    fn load<'b>(&'b self, backend: &'b MemoryCacheBackend, key: &'static str) -> Loading<'b> {
        load(backend, key, move || {
            self.begun.lock().unwrap().push(key);
            poll_fn(|_| match self.may_end.load(Ordering::SeqCst) {
                true => Poll::Ready(1),
                false => Poll::Pending,
            })
        })
    }

    fn begun(&self) -> Vec<&'static str> {
        self.begun.lock().unwrap().clone()
    }
}

#[test]
fn no_more_run_at_a_time_and_others_wait_in_their_order() {
    let (backend, stage) = (backend(2, 10), Stage::default());
    let mut loads = ["a", "b", "c", "d", "e"].map(|key| stage.load(&backend, key));
    for load in &mut loads {
        assert!(poll_once(load.as_mut()).is_none());
    }
    assert_eq!(stage.begun(), ["a", "b"]);
    // Polled again, whoever is not the first does not overtake.
    for load in loads[2..].iter_mut().rev() {
        assert!(poll_once(load.as_mut()).is_none());
    }
    assert_eq!(stage.begun(), ["a", "b"]);
    let [a, b, c, d, e] = loads;
    drop(a);
    let (mut c, mut d, mut e) = (c, d, e);
    for load in [&mut e, &mut d, &mut c] {
        assert!(poll_once(load.as_mut()).is_none());
    }
    for load in [&mut d, &mut e] {
        assert!(poll_once(load.as_mut()).is_none());
    }
    assert_eq!(stage.begun(), ["a", "b", "c"]);
    stage.may_end.store(true, Ordering::SeqCst);
    for load in [b, c, d, e] {
        assert_eq!(block_on(load).unwrap(), 1);
    }
    assert_eq!(stage.begun(), ["a", "b", "c", "d", "e"]);
    assert!(format!("{backend:?}").contains("MemoryCacheBackend"));
}

#[test]
fn too_many_that_wait_are_told_and_so_are_their_followers() {
    let (backend, stage) = (backend(1, 2), Stage::default());
    let mut loads = ["a", "b", "c"].map(|key| stage.load(&backend, key));
    for load in &mut loads {
        assert!(poll_once(load.as_mut()).is_none());
    }
    let error = block_on(stage.load(&backend, "d")).unwrap_err();
    assert!(error.is_overloaded(), "{error}");
    assert_eq!(
        error.to_string(),
        "get_or_load_many: overloaded: 1 loads are under way, and 2 wait"
    );
    assert_eq!(backend.load_counts().overloaded, 1);
    // Who waits for another's load does not count.
    let mut followers = [(); 3].map(|()| stage.load(&backend, "b"));
    for follower in &mut followers {
        assert!(poll_once(follower.as_mut()).is_none());
    }
    // One leaves: there is room.
    let [a, b, c] = loads;
    drop(c);
    let mut d = stage.load(&backend, "d");
    assert!(poll_once(d.as_mut()).is_none());
    stage.may_end.store(true, Ordering::SeqCst);
    for load in [a, b, d].into_iter().chain(followers) {
        assert_eq!(block_on(load).unwrap(), 1);
    }
    assert_eq!(stage.begun(), ["a", "b", "d"]);
}

#[test]
fn with_room_for_nobody_a_load_that_cannot_run_fails_and_one_that_can_runs() {
    let (backend, stage) = (backend(1, 0), Stage::default());
    let mut a = stage.load(&backend, "a");
    assert!(poll_once(a.as_mut()).is_none());
    assert!(
        block_on(stage.load(&backend, "b"))
            .unwrap_err()
            .is_overloaded()
    );
    drop(a);
    stage.may_end.store(true, Ordering::SeqCst);
    assert_eq!(block_on(stage.load(&backend, "b")).unwrap(), 1);
    // A hit loads nothing.
    let mut c = load(&backend, "c", pending);
    assert!(poll_once(c.as_mut()).is_none());
    assert_eq!(block_on(stage.load(&backend, "b")).unwrap(), 1);
}

/// Says whether it was woken.
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One that was woken for a permit, and leaves without it, hands on what it was woken for.
#[test]
fn who_leaves_hands_on() {
    let (backend, stage) = (backend(1, 10), Stage::default());
    let mut loads = ["a", "b", "c"].map(|key| stage.load(&backend, key));
    let bells = [(); 3].map(|()| std::sync::Arc::new(Bell(AtomicBool::new(false))));
    for (load, bell) in loads.iter_mut().zip(&bells) {
        let waker = Waker::from(std::sync::Arc::clone(bell));
        let polled = load.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    let rang = |bell: usize| bells[bell].0.load(Ordering::SeqCst);
    let [a, b, c] = loads;
    drop(a);
    assert!(rang(1) && !rang(2));
    drop(b);
    assert!(rang(2));
    stage.may_end.store(true, Ordering::SeqCst);
    assert_eq!(block_on(c).unwrap(), 1);
    assert_eq!(stage.begun(), ["a", "c"]);
}

#[test]
fn a_loader_that_panics_or_fails_gives_its_permit_back() {
    let backend = backend(1, 0);
    for _ in 0..3 {
        let panics = || -> std::future::Ready<u64> { resume_unwind(Box::new("no loader")) };
        let load = load(&backend, "a", panics);
        assert!(catch_unwind(AssertUnwindSafe(|| block_on(load))).is_err());
        let fails = |_: Vec<&str>| ready(Err::<Vec<(&str, u64)>, _>("no source"));
        let error = block_on(backend.get_or_load_many(&["a"], Ttl::Never, fails));
        assert!(error.unwrap_err().is_load());
    }
    assert_eq!(block_on(load(&backend, "a", || ready(1))).unwrap(), 1);
}

/// With one permit.
#[test]
fn a_load_inside_another_needs_no_permit() {
    ends(|| {
        let backend = backend(1, 0);
        let inner = || async { block_or(load(&backend, "inner", || ready(1)).await) };
        assert_eq!(block_on(load(&backend, "outer", inner)).unwrap(), 1);
        // Two deep, and the permit is free again.
        let middle = || async {
            let inner = || async { block_or(load(&backend, "z", || ready(3)).await) };
            block_or(load(&backend, "y", inner).await)
        };
        assert_eq!(block_on(load(&backend, "x", middle)).unwrap(), 3);
        let mut other = load(&backend, "other", pending);
        assert!(poll_once(other.as_mut()).is_none());
        assert!(
            block_on(load(&backend, "no room", || ready(1)))
                .unwrap_err()
                .is_overloaded()
        );
    });
}

fn block_or(loaded: Result<u64, Error>) -> u64 {
    loaded.expect("a load inside another is let through")
}

/// `a` has the permit and its loader wants `b`, which somebody leads who waits for the permit.
#[test]
fn a_load_that_waits_for_who_waits_for_its_permit_goes_ahead() {
    ends(|| {
        let backend = backend(1, 10);
        let b_is_led = AtomicBool::new(false);
        let runs = AtomicUsize::new(0);
        let wants_b = || async {
            poll_fn(|_| match b_is_led.load(Ordering::SeqCst) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            let b = || {
                runs.fetch_add(1, Ordering::SeqCst);
                ready(7)
            };
            block_or(load(&backend, "b", b).await)
        };
        let mut a = load(&backend, "a", wants_b);
        assert!(poll_once(a.as_mut()).is_none());
        let mut b = load(&backend, "b", || {
            runs.fetch_add(1, Ordering::SeqCst);
            ready(8)
        });
        assert!(poll_once(b.as_mut()).is_none());
        b_is_led.store(true, Ordering::SeqCst);
        assert_eq!(block_on(a).unwrap(), 7);
        assert_eq!(block_on(b).unwrap(), 8);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    });
}

/// Each loads from the other inside its loader, and each has one permit.
#[test]
fn two_backends_whose_loaders_use_each_other() {
    ends(|| {
        let (one, other) = (backend(1, 10), backend(1, 10));
        let begun = [AtomicBool::new(false), AtomicBool::new(false)];
        let both = || begun.iter().all(|it| it.load(Ordering::SeqCst));
        let crossing = |own: usize, of: &'static str| {
            let (from, to) = if own == 0 {
                (&one, &other)
            } else {
                (&other, &one)
            };
            let begun = &begun;
            let both = &both;
            load(from, of, move || async move {
                begun[own].store(true, Ordering::SeqCst);
                poll_fn(|_| {
                    if both() {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
                .await;
                block_or(load(to, "inner", || ready(1)).await) + 1
            })
        };
        let (mut a, mut b) = (crossing(0, "a"), crossing(1, "b"));
        assert!(poll_once(a.as_mut()).is_none());
        assert!(poll_once(b.as_mut()).is_none());
        let mut answers = [None, None];
        block_on(poll_fn(|context| {
            for (load, answer) in [&mut a, &mut b].into_iter().zip(&mut answers) {
                if answer.is_none()
                    && let Poll::Ready(loaded) = load.as_mut().poll(context)
                {
                    *answer = Some(loaded.unwrap());
                }
            }
            match answers.iter().all(Option::is_some) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }));
        assert_eq!(answers, [Some(2), Some(2)]);
    });
}

#[test]
fn the_patience_bounds_the_wait() {
    let backend = MemoryCacheBackend::builder()
        .max_loads(1)
        .patience(Duration::from_millis(20))
        .build()
        .unwrap();
    let mut hangs = pin!(load(&backend, "a", pending));
    assert!(poll_once(hangs.as_mut()).is_none());
    let error = block_on(load(&backend, "b", || ready(1))).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(
        error.to_string().contains("waited to be let load"),
        "{error}"
    );
    // It has left: its key and its ticket are free.
    assert!(format!("{:?}", nori_cache::CacheBackend::flights(&backend)).contains("loads: 1"));
}

/// Threads: never more than so many loaders at once, and all come to their end.
#[test]
fn many_threads() {
    const MOST: usize = 3;
    let backend = backend(MOST, usize::MAX);
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (backend, now, most) = (&backend, &now, &most);
            scope.spawn(move || {
                for nth in 0..200 {
                    let keys = [format!("{thread}:{nth}"), format!("shared:{nth}")];
                    let keys = keys.each_ref().map(String::as_str);
                    let loader = |missing: Vec<&str>| {
                        let missing: Vec<String> = missing.into_iter().map(str::to_owned).collect();
                        async move {
                            let inside = now.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(inside, Ordering::SeqCst);
                            std::thread::yield_now();
                            now.fetch_sub(1, Ordering::SeqCst);
                            Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 1_u64)))
                        }
                    };
                    let loaded = backend.get_or_load_many(&keys, Ttl::Never, loader);
                    assert_eq!(block_on(loaded).unwrap(), [Some(1), Some(1)]);
                }
            });
        }
    });
    assert!(most.into_inner() <= MOST);
    assert!(format!("{:?}", nori_cache::CacheBackend::flights(&backend)).contains("permits: 0 }"));
}

#[test]
fn settings() {
    let error = MemoryCacheBackend::builder()
        .max_loads(0)
        .build()
        .unwrap_err();
    assert_eq!(error.to_string(), "max_loads is 0; it must be at least 1");
}

#[cfg(feature = "global")]
#[test]
fn settings_of_the_process() {
    use nori_cache::Config;
    let error = Config::default().max_loads(0).build().unwrap_err();
    assert!(
        error.to_string().starts_with("CACHE_MAX_LOADS is 0"),
        "{error}"
    );
    let read = |text: &str| {
        let text = text.to_owned();
        Config::from_variables(move |name| (name == "CACHE_MAX_LOADS").then(|| text.clone()))
    };
    let by_hand = Config::default().max_loads(7);
    assert_eq!(format!("{:?}", read("7").unwrap()), format!("{by_hand:?}"));
    let error = read("0").unwrap_err();
    assert!(error.is_invalid_config() && error.to_string().contains("CACHE_MAX_LOADS"));
    let limited = Config::default()
        .max_loads(1)
        .max_waiting_loads(0)
        .build()
        .unwrap();
    let keys = ["a"];
    let hang = |_: Vec<&str>| pending::<Result<Vec<(&str, u64)>, Infallible>>();
    let mut hangs = pin!(limited.get_or_load_many(&keys, Ttl::Never, hang));
    assert!(poll_once(hangs.as_mut()).is_none());
    let load = |missing: Vec<&'static str>| {
        ready(Ok::<_, Infallible>(
            missing
                .into_iter()
                .map(|key| (key, 1_u64))
                .collect::<Vec<_>>(),
        ))
    };
    let error = block_on(limited.get_or_load_many(&["b"], Ttl::Never, load)).unwrap_err();
    assert!(error.is_overloaded(), "{error}");
}
