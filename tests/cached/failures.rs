//! What callers get when the function fails, or the cache does.

use crate::{Failing, Gate, Runs, all_have_asked};
use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, Ttl, cached};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Which call it comes from; told apart from all others, as it cannot be cloned.
#[derive(Debug, PartialEq)]
struct Unique(usize);

/// The same, for which clones stand.
#[derive(Debug, Clone, PartialEq)]
struct Shared(usize);

#[tokio::test]
async fn errors_that_can_be_cloned_reach_all_who_waited() {
    static RUNS: Runs = Runs::new();
    static ASKED: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    #[cached]
    async fn fails(n: usize) -> Result<usize, Shared> {
        GATE.pass().await;
        Err(Shared(n + RUNS.next()))
    }

    let ask = || {
        tokio::spawn(async {
            ASKED.next();
            fails(0).await
        })
    };
    let calls: Vec<_> = (0..10).map(|_| ask()).collect();
    all_have_asked(&ASKED, 10).await;
    GATE.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(Shared(1)));
    }
    assert_eq!(fails(0).await, Err(Shared(2)));
}

#[tokio::test]
async fn other_errors_are_their_callers_own() {
    static RUNS: Runs = Runs::new();
    static ASKED: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    #[cached]
    async fn fails(n: usize) -> Result<usize, Unique> {
        GATE.pass().await;
        Err(Unique(n + RUNS.next()))
    }

    let ask = || {
        tokio::spawn(async {
            ASKED.next();
            fails(0).await
        })
    };
    let calls: Vec<_> = (0..10).map(|_| ask()).collect();
    all_have_asked(&ASKED, 10).await;
    GATE.open();
    let mut errors = Vec::new();
    for call in calls {
        errors.push(call.await.unwrap().unwrap_err().0);
    }
    errors.sort();
    assert_eq!(errors, Vec::from_iter(1..=10));
}

#[tokio::test]
async fn who_waited_for_a_call_that_failed_waits_for_the_next() {
    static RUNS: Runs = Runs::new();
    static ASKED: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    /// Fails twice. So the last of three calls is one that the others still wait for.
    #[cached]
    async fn flaky(n: usize) -> Result<usize, Unique> {
        let run = RUNS.next();
        GATE.pass().await;
        // So that those who wait see the call end before the next one does.
        tokio::task::yield_now().await;
        if run <= 2 {
            Err(Unique(run))
        } else {
            Ok(n + run)
        }
    }

    let ask = || {
        tokio::spawn(async {
            ASKED.next();
            flaky(0).await
        })
    };
    let calls: Vec<_> = (0..10).map(|_| ask()).collect();
    all_have_asked(&ASKED, 10).await;
    GATE.open();
    let (mut errors, mut values) = (Vec::new(), Vec::new());
    for call in calls {
        match call.await.unwrap() {
            Ok(value) => values.push(value),
            Err(Unique(run)) => errors.push(run),
        }
    }
    errors.sort();
    assert_eq!(errors, [1, 2]);
    assert_eq!(values, [3; 8]);
    assert_eq!(RUNS.count(), 3);
}

#[tokio::test]
async fn a_panic_is_the_callers_own_and_others_go_on() {
    static RUNS: Runs = Runs::new();
    static ASKED: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    #[cached]
    async fn panics_once(n: usize) -> usize {
        GATE.pass().await;
        let run = RUNS.next();
        assert_ne!(run, 1, "the first does");
        n + run
    }

    let ask = || {
        tokio::spawn(async {
            ASKED.next();
            panics_once(0).await
        })
    };
    let calls: Vec<_> = (0..5).map(|_| ask()).collect();
    all_have_asked(&ASKED, 5).await;
    GATE.open();
    let mut panics = 0;
    for call in calls {
        match call.await {
            Ok(value) => assert_eq!(value, 2),
            Err(error) => {
                assert!(error.is_panic());
                panics += 1;
            }
        }
    }
    assert_eq!((panics, RUNS.count()), (1, 2));
}

#[tokio::test]
async fn while_the_store_is_down_the_function_runs() {
    #[cached(key = "value", backend = backend, skip(backend, runs))]
    async fn value(backend: &Arc<Failing>, runs: &Runs) -> usize {
        runs.next()
    }
    #[cached(key = "result", backend = backend, skip(backend, runs))]
    async fn result(backend: &Arc<Failing>, runs: &Runs) -> Result<usize, Unique> {
        match runs.next() {
            2 => Err(Unique(2)),
            run => Ok(run),
        }
    }

    let backend = Arc::new(Failing::new());
    for (reads, writes) in [(true, true), (true, false), (false, true)] {
        backend.set(reads, writes);
        let (values, results) = (Runs::default(), Runs::default());
        for run in 1..=3 {
            // Each call runs it once, and says what that returned.
            assert_eq!(value(&backend, &values).await, run);
            let expected = if run == 2 { Err(Unique(2)) } else { Ok(run) };
            assert_eq!(result(&backend, &results).await, expected);
            assert_eq!((values.count(), results.count()), (run, run));
        }
        // What could only not be read is stored.
        backend.set(false, false);
        assert_eq!(value_cache_remove(&backend).await.unwrap(), !writes);
        assert_eq!(result_cache_remove(&backend).await.unwrap(), !writes);
    }
    backend.set(true, true);
    let error = value_cache_remove(&backend).await.unwrap_err();
    assert!(error.is_connection());

    // It is back.
    backend.set(false, false);
    let runs = Runs::default();
    for _ in 0..3 {
        assert_eq!(value(&backend, &runs).await, 1);
    }
    assert_eq!(runs.count(), 1);
    assert!(value_cache_remove(&backend).await.unwrap());
    backend.memory.close().await.unwrap();
    assert_eq!(value(&backend, &runs).await, 2);
}

#[tokio::test]
async fn what_cannot_be_stored_is_returned() {
    #[cached(key = "nan", backend = *backend, skip(backend, runs))]
    async fn nan(backend: &MemoryCacheBackend, runs: &Runs) -> Vec<f64> {
        vec![runs.next() as f64, f64::NAN]
    }

    let (backend, runs) = (MemoryCacheBackend::new(10), Runs::default());
    for run in 1..=2 {
        assert_eq!(nan(&backend, &runs).await[0], f64::from(run));
    }
    assert_eq!(runs.count(), 2);
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_read_does_not_keep_the_function_from_running() {
    #[cached(key = "number", backend = *backend, skip(backend))]
    async fn number(backend: &MemoryCacheBackend) -> u8 {
        7
    }

    let backend = MemoryCacheBackend::new(10);
    backend.set("number", "text", Ttl::Never).await.unwrap();
    assert_eq!(number(&backend).await, 7);
}

#[tokio::test]
async fn who_waits_too_long_calls() {
    static RUNS: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    #[cached(key = "slow", backend = *backend, skip(backend))]
    async fn slow(backend: &MemoryCacheBackend) -> usize {
        match RUNS.next() {
            // The first goes on until the other one has its answer.
            1 => GATE.pass().await,
            _ => GATE.open(),
        }
        RUNS.count()
    }

    let builder = MemoryCacheBackend::builder().patience(Duration::from_millis(1));
    let backend = builder.build().unwrap();
    let (first, second) = tokio::join!(slow(&backend), slow(&backend));
    assert_eq!((first, second), (2, 2));
}

#[cfg(feature = "tracing")]
mod told {
    use super::*;
    use std::fmt::Debug;
    use std::sync::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::{Event, Level, Metadata, Subscriber, span};

    /// What was told on this thread.
    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<String>>>);

    impl Visit for Told {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0
                .lock()
                .unwrap()
                .push(format!("{}: {value:?}", field.name()));
        }
    }

    impl Subscriber for Told {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target() == "nori_cache::cached"
        }
        fn event(&self, event: &Event<'_>) {
            assert_eq!(*event.metadata().level(), Level::WARN);
            event.record(&mut self.clone());
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn each_failure_of_the_cache_is_an_event() {
        #[cached(key = "told", backend = backend, skip(backend, fails))]
        async fn told(backend: &Arc<Failing>, fails: bool) -> Result<u8, Unique> {
            if fails { Err(Unique(1)) } else { Ok(1) }
        }

        let told_of = Told::default();
        let _listening = crate::listening::listen(told_of.clone());
        let backend = Arc::new(Failing::new());
        let all = || std::mem::take(&mut *told_of.0.lock().unwrap());
        for (reads, writes) in [(true, false), (false, true)] {
            backend.set(reads, writes);
            told(&backend, false).await.unwrap();
            let expected = [
                "message: the cache failed; the function answers",
                "error: get_or_load \"told\": no connection: unplugged",
            ];
            let mut events = all();
            events.sort();
            assert_eq!(events, [expected[1], expected[0]], "{reads} {writes}");
            backend.set(false, false);
            assert_eq!(told_cache_remove(&backend).await.unwrap(), !writes);
        }
        // A failure of the function is none of the cache's.
        backend.set(false, false);
        told(&backend, true).await.unwrap_err();
        told(&backend, false).await.unwrap();
        assert!(all().is_empty());
    }
}

/// The environment is the process's, so this runs its other half in a process of its own.
#[tokio::test]
async fn without_a_backend_the_function_runs() {
    static RUNS: Runs = Runs::new();

    #[cached(key = "unconfigured")]
    async fn unconfigured() -> usize {
        RUNS.next()
    }

    if std::env::var_os("CACHE_BACKEND").is_some_and(|name| name == "nonsense") {
        for run in 1..=2 {
            assert_eq!(unconfigured().await, run);
        }
        let error = unconfigured_cache_remove().await.unwrap_err();
        assert!(error.is_invalid_config());
        println!("it ran twice");
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args([
        "--exact",
        "failures::without_a_backend_the_function_runs",
        "--nocapture",
    ]);
    let output = child.env("CACHE_BACKEND", "nonsense").output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("it ran twice"),
        "{output:?}"
    );
}
