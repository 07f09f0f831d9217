//! Loads: their options one by one, what they survive, what goes on in the background, and what stays of those that are dropped.

mod background;
mod errors;
mod faults;
mod keeping;
mod options;
mod store;
mod timeouts;

use nori_cache::{Answer, CacheBackend, CacheBackendExt, Error, LoadContext, Outcome};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use store::Store;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Lets other tasks go on until it holds. What never does fails the test.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(300), "never: {what}");
        tokio::task::yield_now().await;
    }
}

/// A loader that counts its calls, and returns how often it was called.
#[derive(Clone, Default)]
struct Source(Arc<AtomicUsize>);

impl Source {
    fn calls(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    fn load(
        &self,
    ) -> impl FnOnce(LoadContext<usize>) -> std::future::Ready<Result<usize, Error>> + Send + 'static
    {
        let calls = Arc::clone(&self.0);
        move |_| std::future::ready(Ok(calls.fetch_add(1, Ordering::SeqCst) + 1))
    }
}

/// A loader that fails.
fn down<T: Send>(_: LoadContext<T>) -> std::future::Ready<Result<T, String>> {
    std::future::ready(Err("the source is down".to_owned()))
}

/// A loader that never ends.
fn hangs<T: Send>(_: LoadContext<T>) -> std::future::Pending<Result<T, Error>> {
    std::future::pending()
}

/// Puts 1 under the key, which has expired by then, and is kept for an hour.
async fn stale(store: &Arc<Store>, key: &str) {
    let one = |_| async { Ok::<_, Error>(1_usize) };
    let load = store.load(key).ttl(MINUTE).fail_safe(HOUR);
    assert_eq!(load.or_load(one).await.unwrap(), 1);
    store.clock().advance(MINUTE);
    assert_eq!(store.get::<usize>(key).await.unwrap(), None);
}

fn is_fail_safe<T>(answer: &Answer<T>, why: &str) -> bool {
    match answer.outcome() {
        Outcome::FailSafe(error) => error.to_string().contains(why),
        _ => false,
    }
}

/// Nothing is left of any load.
fn nothing_is_left(backend: &impl CacheBackend) {
    assert_eq!(backend.load_counts().in_background, 0);
    let flights = format!("{:?}", backend.flights());
    assert_eq!(flights, "Flights { loads: 0, updates: 0 }");
}

/// The future's type is what an executor takes.
fn is_send<F: Future + Send>(future: F) -> F {
    future
}
