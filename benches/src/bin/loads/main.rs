//! Loads of the typed cache and of backends beside moka's, quick_cache's and amalgam-cache's: hits, cold loads, a thousand waiters on
//! one key, and how long callers take while what they ask for is refreshed.
//!
//! ```sh
//! cargo run -p nori-cache-benches --profile bench --bin loads -- --rounds 9 --millis 300
//! ```
//!
//! Keys are strings, borrowed, as amalgam-cache knows no others; values are `Arc<str>`. All have a time to live.
//!
//! Each group of rows is compared with its first. `--rounds 9 --millis 300` takes some three minutes.

#![forbid(unsafe_code)]

mod hits;
mod refreshes;

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use ahash::RandomState;
use nori_cache::Cache;
use nori_cache_benches::runner::group::{self, BATCH, Options, Row, now};
use nori_cache_benches::runner::stats::median;

type Value = Arc<str>;

const KEYS: usize = 10_000;
const TTL: Duration = Duration::from_secs(300);
const WAITERS: usize = 1_000;
/// How long the load takes that they wait for.
const LOAD: Duration = Duration::from_millis(50);

fn ours() -> Cache<String, Value> {
    let builder = Cache::builder().max_keys(2 * KEYS).ttl(TTL);
    builder.build().expect("these settings are allowed")
}

fn moka() -> moka::sync::Cache<String, Value, RandomState> {
    moka::sync::Cache::builder()
        .max_capacity(2 * KEYS as u64)
        .time_to_live(TTL)
        .build_with_hasher(RandomState::new())
}

fn moka_async() -> moka::future::Cache<String, Value, RandomState> {
    moka::future::Cache::builder()
        .max_capacity(2 * KEYS as u64)
        .time_to_live(TTL)
        .build_with_hasher(RandomState::new())
}

/// The answer of a future that may wait for what another thread does.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::yield_now(),
        }
    }
}

fn key(n: usize) -> String {
    format!("user:{n:011}:profile")
}

fn value() -> Value {
    Arc::from("x".repeat(64))
}

/// A row each of whose operations has a key that nobody had before.
fn each_new(name: &'static str, operation: impl Fn(&str) -> Value + Send + Sync + 'static) -> Row {
    let next = AtomicUsize::new(0);
    let work = move |_| {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        for n in first..first + BATCH {
            black_box(operation(&key(n)));
        }
    };
    Row::new("cold load", name, Arc::new(work))
}

fn cold() -> Vec<Row> {
    let (with, waiting) = (ours(), ours());
    let (blocking, future) = (moka(), moka_async());
    let quick = quick_cache::sync::Cache::<String, Value>::new(2 * KEYS);
    let ready = value();
    let load = move || Arc::clone(&ready);
    let (a, b, c, d) = (load.clone(), load.clone(), load.clone(), load.clone());
    vec![
        each_new("moka, get_with", move |key| {
            blocking.get_with_by_ref(key, &a)
        }),
        each_new("get_or_insert_with", move |key| {
            with.get_or_insert_with(key, &b)
        }),
        each_new("get_or_insert_async", move |key| {
            now(waiting.get_or_insert_async(key, || async { c() }))
        }),
        each_new("moka, async get_with", move |key| {
            wait_for(future.get_with_by_ref(key, async { d() }))
        }),
        each_new("quick_cache, get_or_insert_with", move |key| {
            let found = quick.get_or_insert_with(key, || Ok::<_, ()>(load()));
            found.expect("the load does not fail")
        }),
    ]
}

/// How long it takes until all have their answers, and how many loads there were.
async fn wait<F>(ask: impl Fn(Arc<AtomicU64>) -> F) -> (Duration, u64)
where
    F: Future<Output = Value> + Send + 'static,
{
    let loads = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let waiting: Vec<_> = (0..WAITERS)
        .map(|_| tokio::spawn(ask(Arc::clone(&loads))))
        .collect();
    for waiter in waiting {
        waiter.await.expect("no task panics");
    }
    (start.elapsed(), loads.load(Ordering::Relaxed))
}

async fn load(loads: Arc<AtomicU64>) -> Value {
    loads.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(LOAD).await;
    value()
}

fn waiters(rounds: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .worker_threads(2)
        .build()
        .expect("a runtime can be built");
    let mut rows = [("ours", Vec::new(), 0), ("moka", Vec::new(), 0)];
    for _ in 0..rounds {
        let (ours, moka) = (ours(), moka_async());
        let of_ours = runtime.block_on(wait(move |loads| {
            let cache = ours.clone();
            async move { cache.get_or_insert_async("key", || load(loads)).await }
        }));
        let of_moka = runtime.block_on(wait(move |loads| {
            let cache = moka.clone();
            async move { cache.get_with_by_ref("key", load(loads)).await }
        }));
        for ((_, times, most), (time, loads)) in rows.iter_mut().zip([of_ours, of_moka]) {
            times.push(time.as_secs_f64());
            *most = loads.max(*most);
        }
    }
    println!(
        "\n{WAITERS} tasks wait for one key, whose load takes {} ms\n",
        LOAD.as_millis()
    );
    for (name, times, most) in rows {
        let time = median(times) * 1e3;
        println!("| {name} | {time:.1} ms | {most} load(s) at most |");
    }
}

fn main() -> Result<(), lexopt::Error> {
    let Some(options) = Options::parse(lexopt::Parser::from_env())? else {
        return Ok(());
    };
    for threads in [1, 2] {
        let mut rows = hits::typed();
        rows.extend(hits::of_backends());
        rows.extend(cold());
        group::run(&mut rows, threads, options);
    }
    waiters(options.rounds);
    refreshes::run(options);
    Ok(())
}
