//! `async` functions, on backends in memory.

use crate::{Gate, Runs, all_have_asked, is_send, poll_once};
use nori_cache::{
    CacheBackend, CacheBackendExt, ManualClock, MemoryCacheBackend, Ttl, cache_get, cache_ttl,
    cached,
};
use std::num::ParseIntError;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

#[tokio::test]
async fn a_call_is_cached_by_its_arguments() {
    static RUNS: Runs = Runs::new();

    #[cached(key = "greeting:{id}:{lang}", ttl = "5m")]
    async fn greeting(id: u64, lang: &str) -> String {
        format!("{id} {lang} {}", RUNS.next())
    }

    assert_eq!(is_send(greeting(1, "en")).await, "1 en 1");
    assert_eq!(greeting(1, "en").await, "1 en 1");
    assert_eq!(greeting(2, "en").await, "2 en 2");
    assert_eq!(greeting(1, "de").await, "1 de 3");
    assert_eq!(greeting_cache_key(1, "en"), "greeting:1:en");
    let stored: Option<String> = cache_get("greeting:1:en").await.unwrap();
    assert_eq!(stored.unwrap(), "1 en 1");
    let Some(Ttl::After(left)) = cache_ttl("greeting:1:en").await.unwrap() else {
        panic!("it has a time to live");
    };
    assert!(left > Duration::from_secs(200) && left <= Duration::from_secs(300));

    // The function itself is there, too, and leaves the cache alone.
    assert_eq!(greeting_uncached(1, "en").await, "1 en 4");
    assert_eq!(greeting(1, "en").await, "1 en 1");

    assert!(is_send(greeting_cache_remove(1, "en")).await.unwrap());
    assert!(!greeting_cache_remove(1, "en").await.unwrap());
    assert_eq!(greeting(1, "en").await, "1 en 5");
    assert_eq!(greeting(2, "en").await, "2 en 2");
}

#[tokio::test]
async fn results_are_cached_and_errors_are_not() {
    static RUNS: Runs = Runs::new();

    #[cached]
    async fn number(text: String) -> Result<u8, ParseIntError> {
        RUNS.next();
        text.parse()
    }

    assert_eq!(number("7".to_owned()).await, Ok(7));
    assert_eq!(number("7".to_owned()).await, Ok(7));
    assert_eq!(RUNS.count(), 1);
    for _ in 0..2 {
        let error: ParseIntError = number("x".to_owned()).await.unwrap_err();
        assert_eq!(error, "x".parse::<u8>().unwrap_err());
    }
    assert_eq!(RUNS.count(), 3);
}

/// Whether a return type is a `Result` is seen by its type, whatever it is called.
#[tokio::test]
async fn results_of_any_name_and_errors_of_any_type() {
    type Looked = Result<u8, NoError>;
    /// Neither an `Error`, nor `Clone`, nor `Sync`.
    #[derive(Debug, PartialEq)]
    struct NoError(std::cell::Cell<u8>);

    #[cached]
    async fn aliased(fails: bool) -> Looked {
        if fails {
            return Err(NoError(std::cell::Cell::new(1)));
        }
        Ok(2)
    }
    #[cached]
    async fn boxed(text: &str) -> Result<u8, Box<dyn std::error::Error + Send + Sync>> {
        Ok(text.parse()?)
    }
    #[cached]
    async fn text(text: &str) -> Result<u8, String> {
        text.parse()
            .map_err(|error: ParseIntError| error.to_string())
    }
    #[cached]
    async fn io(text: &str) -> std::io::Result<u8> {
        text.parse().map_err(std::io::Error::other)
    }

    assert_eq!(aliased(true).await.unwrap_err().0.get(), 1);
    assert_eq!(aliased(false).await, Ok(2));
    assert!(boxed("x").await.unwrap_err().is::<ParseIntError>());
    assert_eq!(boxed("3").await.unwrap(), 3);
    assert_eq!(
        text("x").await.unwrap_err(),
        "invalid digit found in string"
    );
    let error = io("x").await.unwrap_err();
    assert!(error.get_ref().unwrap().is::<ParseIntError>());
    for key in [aliased_cache_key(true), boxed_cache_key("x")] {
        assert_eq!(cache_get::<u8>(&key).await.unwrap(), None, "{key}");
    }
}

#[tokio::test]
async fn nothing_is_an_answer_too() {
    static RUNS: Runs = Runs::new();

    #[cached]
    async fn found(id: u64) -> Option<String> {
        RUNS.next();
        (id == 1).then(|| "Ana".to_owned())
    }

    for _ in 0..2 {
        assert_eq!(found(1).await.unwrap(), "Ana");
        assert_eq!(found(2).await, None);
    }
    assert_eq!(RUNS.count(), 2);
}

#[tokio::test]
async fn one_call_runs_however_many_ask() {
    static RUNS: Runs = Runs::new();
    static ASKED: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    #[cached]
    async fn slow(n: usize) -> usize {
        GATE.pass().await;
        n + RUNS.next()
    }

    let calls: Vec<_> = (0..10)
        .map(|_| {
            tokio::spawn(async {
                ASKED.next();
                slow(40).await
            })
        })
        .collect();
    all_have_asked(&ASKED, 10).await;
    GATE.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), 41);
    }
    assert_eq!(RUNS.count(), 1);
}

#[tokio::test]
async fn a_call_that_is_dropped_hands_over() {
    static RUNS: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    #[cached]
    async fn slow(n: usize) -> usize {
        RUNS.next();
        GATE.pass().await;
        n
    }

    let mut first = Box::pin(slow(1));
    assert!(poll_once(first.as_mut()).is_pending());
    let mut second = pin!(slow(1));
    assert!(poll_once(second.as_mut()).is_pending());
    assert_eq!(RUNS.count(), 1);
    drop(first);
    assert!(poll_once(second.as_mut()).is_pending());
    assert_eq!(RUNS.count(), 2);
    GATE.open();
    assert_eq!(second.await, 1);
    assert_eq!(slow(1).await, 1);
    assert_eq!(RUNS.count(), 2);
}

#[tokio::test]
async fn a_removal_beats_a_call_that_is_under_way() {
    static RUNS: Runs = Runs::new();
    static GATE: Gate = Gate::new();

    #[cached]
    async fn version(id: u64) -> usize {
        let version = RUNS.next();
        GATE.pass().await;
        version + id as usize
    }

    let mut first = Box::pin(version(0));
    assert!(poll_once(first.as_mut()).is_pending());
    version_cache_remove(0).await.unwrap();
    GATE.open();
    assert_eq!(first.await, 1);
    assert_eq!(version(0).await, 2);
}

#[tokio::test]
async fn times_to_live_are_texts_or_expressions() {
    fn builder(clock: &ManualClock) -> Arc<dyn CacheBackend> {
        let builder = MemoryCacheBackend::builder().clock(clock.clone());
        Arc::new(builder.default_ttl(Duration::from_secs(7)).build().unwrap())
    }

    #[cached(key = "text", ttl = "1h 30m", backend = backend, skip(backend))]
    async fn text(backend: &Arc<dyn CacheBackend>) -> u8 {
        1
    }
    #[cached(key = "never", ttl = "never", backend = backend, skip(backend))]
    async fn never(backend: &Arc<dyn CacheBackend>) -> u8 {
        1
    }
    #[cached(key = "default", backend = backend, skip(backend))]
    async fn default(backend: &Arc<dyn CacheBackend>) -> u8 {
        1
    }
    #[cached(key = "expr:{n}", ttl = Duration::from_secs(*n), backend = **backend, skip(backend))]
    async fn expr(backend: &Arc<dyn CacheBackend>, n: &u64) -> u8 {
        1
    }
    #[cached(key = "ttl", ttl = Ttl::Never, backend = backend.clone(), skip(backend))]
    async fn ttl(backend: Arc<dyn CacheBackend>) -> u8 {
        1
    }

    let clock = ManualClock::new();
    let backend = builder(&clock);
    let sum = text(&backend).await + never(&backend).await + default(&backend).await;
    assert_eq!(
        sum + expr(&backend, &9).await + ttl(Arc::clone(&backend)).await,
        5
    );
    let secs = |secs| Some(Ttl::After(Duration::from_secs(secs)));
    for (key, left) in [
        ("text", secs(5400)),
        ("never", Some(Ttl::Never)),
        ("default", secs(7)),
        ("expr:9", secs(9)),
        ("ttl", Some(Ttl::Never)),
    ] {
        assert_eq!(backend.ttl(key).await.unwrap(), left, "{key}");
    }
    assert!(ttl_cache_remove(Arc::clone(&backend)).await.unwrap());
    assert!(expr_cache_remove(&backend, &9).await.unwrap());
    assert_eq!(expr_cache_key(&9), "expr:9");
    assert_eq!(backend.ttl("expr:9").await.unwrap(), None);
}

#[tokio::test]
async fn what_expires_is_asked_for_again() {
    #[cached(key = "now", ttl = "1s", backend = *backend, skip(backend, runs))]
    async fn now(backend: &MemoryCacheBackend, runs: &Runs) -> usize {
        runs.next()
    }

    let clock = ManualClock::new();
    let builder = MemoryCacheBackend::builder().clock(clock.clone());
    let (backend, runs) = (builder.build().unwrap(), Runs::default());
    assert_eq!(now(&backend, &runs).await, 1);
    clock.advance(Duration::from_millis(999));
    assert_eq!(now(&backend, &runs).await, 1);
    clock.advance(Duration::from_millis(1));
    assert_eq!(now(&backend, &runs).await, 2);
}

#[tokio::test]
async fn arguments_may_borrow_and_be_changed_within() {
    #[cached(key = "{text}:{n}", skip(list))]
    async fn lines<'a>(text: &'a str, mut n: usize, list: &'a [&str]) -> Result<Vec<String>, u8> {
        n += list.len();
        let mut lines = vec![text.to_owned(); n];
        lines.truncate(3);
        Ok(lines)
    }

    assert_eq!(
        is_send(lines("a", 1, &["x"])).await,
        Ok(vec!["a".to_owned(); 2])
    );
    let spawned = tokio::spawn(async {
        let text = "b".to_owned();
        lines(&text, 0, &[text.as_str(); 2]).await
    });
    assert_eq!(spawned.await.unwrap(), Ok(vec!["b".to_owned(); 2]));
    assert_eq!(lines("a", 1, &[]).await, Ok(vec!["a".to_owned(); 2]));
    assert_eq!(lines_cache_key("a", 1), "a:1");
}

/// A function that comes back to its own key runs, as it would without the cache.
#[tokio::test]
async fn calls_may_come_back_to_their_own_key() {
    #[cached(key = "sum:{name}", skip(depth))]
    async fn sum(name: &str, depth: u32) -> u32 {
        match depth {
            0 => 0,
            _ => depth + boxed_sum(name, depth - 1).await,
        }
    }
    fn boxed_sum(name: &str, depth: u32) -> Pin<Box<dyn Future<Output = u32> + Send + '_>> {
        Box::pin(sum(name, depth))
    }

    assert_eq!(sum("a", 6).await, 21);

    // One that is cached by all of its arguments comes to others.
    #[cached]
    async fn fibonacci(n: u64) -> u64 {
        match n {
            0 | 1 => n,
            _ => boxed_fibonacci(n - 1).await + boxed_fibonacci(n - 2).await,
        }
    }
    fn boxed_fibonacci(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        Box::pin(fibonacci(n))
    }

    assert_eq!(fibonacci(15).await, 610);
}
