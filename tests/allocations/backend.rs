//! What the backend in memory asks the allocator for: nothing on a typed hit, nothing on an increment.

use crate::TURN;
use crate::counting::allocations;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use nori_cache::{
    CacheBackend, CacheBackendExt, Error, ManualClock, MemoryCacheBackend, Outcome, cache_get,
    cache_load, set_backend,
};

/// The answer of a future that is ready.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("in memory nothing waits"),
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn hits_and_increments_allocate_nothing() {
    let _turn = TURN.blocking_lock();
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(1_000));
    let keys: Vec<String> = (0..500).map(|n| format!("user:{n}")).collect();
    for (n, key) in keys.iter().enumerate() {
        now(backend.set(key, (n, [n as f64; 8]), HOUR)).unwrap();
    }
    now(backend.set("shared", "x".repeat(10_000), HOUR)).unwrap();
    now(backend.set("arc", Arc::new("x".repeat(10_000)), HOUR)).unwrap();
    assert_eq!(now(backend.incr("counter", HOUR)).unwrap(), 1);
    set_backend(Arc::clone(&backend));
    assert_eq!(now(cache_get("counter")).unwrap(), Some(1));

    let during = allocations(|| {
        for (n, key) in keys.iter().enumerate() {
            let value: Option<(usize, [f64; 8])> = now(backend.get(key)).unwrap();
            assert_eq!(value.unwrap().0, n);
            let value = now(cache_get::<(usize, [f64; 8])>(key)).unwrap();
            assert_eq!(value.unwrap().0, n);
            assert!(now(backend.get::<u8>("missing")).unwrap().is_none());
            assert!(
                now(backend.get_shared::<String>("shared"))
                    .unwrap()
                    .is_some()
            );
            assert!(now(backend.get::<Arc<String>>("arc")).unwrap().is_some());
            assert_eq!(now(backend.incr("counter", HOUR)).unwrap(), n as i64 + 2);
            assert_eq!(now(backend.get("counter")).unwrap(), Some(n + 2));
            assert!(now(backend.ttl(key)).unwrap().is_some());
        }
    });
    assert_eq!(during, 0);

    // A load, whatever its options, of what is plain and of what is kept.
    let minute = Duration::from_secs(60);
    let all_options = |key: &'static str| {
        let load = backend
            .load(key)
            .ttl(HOUR)
            .jitter(0.1)
            .tags(["users", "all"]);
        let load = load
            .fail_safe(HOUR)
            .fail_safe_throttle(minute)
            .negative_ttl(HOUR);
        let load = load
            .soft_timeout(minute)
            .hard_timeout(minute)
            .cache_errors(minute);
        load.eager_refresh(0.8).stale_while_revalidate(HOUR)
    };
    let load = |_| std::future::ready(Ok::<_, Error>((1_usize, [1.0_f64; 8])));
    let none = |_| std::future::ready(Ok::<Option<u64>, Error>(None));
    now(all_options("kept").or_load(load)).unwrap();
    now(all_options("none").or_load_optional(none)).unwrap();
    let during = allocations(|| {
        for _ in 0..500 {
            assert_eq!(now(all_options("kept").or_load(load)).unwrap().0, 1);
            assert_eq!(now(all_options("user:7").or_load(load)).unwrap().0, 7);
            let answer = now(all_options("none").answer_or_load_optional(none)).unwrap();
            assert!(matches!(answer.outcome(), Outcome::Hit));
            assert_eq!(now(backend.load_scoped("kept").or_load(load)).unwrap().0, 1);
            assert_eq!(now(cache_load("kept").unwrap().or_load(load)).unwrap().0, 1);
            let load = || std::future::ready(Ok::<_, Error>((1_usize, [1.0_f64; 8])));
            assert_eq!(now(backend.get_or_load("kept", HOUR, load)).unwrap().0, 1);
        }
    });
    assert_eq!(during, 0);

    // The same of what is due, while somebody refreshes it.
    let clock = ManualClock::new();
    let refreshed = MemoryCacheBackend::builder().clock(clock.clone());
    let refreshed = Arc::new(refreshed.build().unwrap());
    let due = |tags: &'static [&'static str]| {
        let load = refreshed.load("due").ttl(HOUR).eager_refresh(0.5);
        load.tags(tags.iter().copied())
    };
    for tags in [&[][..], &["users"]] {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        now(due(tags).skip_read().or_load(load)).unwrap();
        clock.advance(HOUR * 3 / 4);
        let _entered = runtime.enter();
        let pending = |_| std::future::pending::<Result<(usize, [f64; 8]), Error>>();
        let during = |calls| {
            allocations(|| {
                for _ in 0..calls {
                    let answer = now(due(tags).answer_or_load(pending)).unwrap();
                    assert!(answer.is_refreshing());
                    assert!(matches!(answer.outcome(), Outcome::Hit));
                }
            })
        };
        assert!(during(1) > 0);
        assert_eq!(during(500), 0);
    }

    // A set: the key, and the value behind its pointer. Now and then a list in the cache grows.
    let value = (1_usize, [0.0_f64; 8]);
    let during = allocations(|| {
        for key in &keys {
            now(backend.set(key, value, HOUR)).unwrap();
        }
    });
    assert!(during <= 2 * 500 + 64, "{during} allocations");
}
