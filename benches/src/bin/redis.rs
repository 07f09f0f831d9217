//! The backend on Redis beside what one would do with the bare `redis` crate, on the same server.
//!
//! ```sh
//! cargo run -p nori-cache-benches --profile bench --bin redis -- --rounds 9 --millis 500
//! ```
//!
//! Starts a `redis-server` of its own, or uses the one that `--url` names (and removes what starts with `bench:` there). Rounds
//! are interleaved, the order rotates, medians are shown.
//!
//! - **get, set**: 64 tasks over one connection, 10,000 keys, values of 100 bytes; the crate's multiplexed connection with its
//!   own settings does the same GET and SET, and reads the same `String`. What is set is not what is got: nobody is to be told.
//! - **load**: the same as `get`, by a load with fail-safe that hits.
//! - **near, far**: two tiers. *near*: 1,000 keys that are all in memory, beside the backend in memory; the same with four tags each.
//!   *far*: nothing is in memory, as the near tier has room for one key; *far, kept*: nothing can be used, as copies live for a
//!   millisecond, and each read keeps one.
//! - **invalidation**: from when the crate's connection begins to write a key until a copy of it, kept by a backend on another connection, is
//!   not used any more, beside a round trip of the crate's connection. Medians of the times of single operations, by one task on a
//!   runtime of one thread, which looks for messages whenever the task has found the copy still in use.
//! - **get_many**: 100 keys at once, and one by one, by one task.
//! - **atomic_update**: 8 tasks add to the number under one key; the rival does it with WATCH, GET, MULTI, SET and EXEC on a
//!   connection for each task, because on a shared one it loses updates.

#![forbid(unsafe_code)]

use std::error::Error;
use std::future::Future;
use std::net::TcpListener;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lexopt::{Arg, Parser, ValueExt};
use nori_cache::{
    CacheBackend, CacheBackendExt, Error as CacheError, MemoryCacheBackend, RedisCacheBackend,
    RedisCacheBackendBuilder, TieredCacheBackend,
};
use nori_cache_benches::runner::stats::median;
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use tokio::runtime::{Builder, Runtime};
use tokio::task;

const PREFIX: &str = "bench:";
const KEYS: usize = 10_000;
const TTL: Duration = Duration::from_secs(300);

type Step = Arc<dyn Fn(usize) -> Pin<Box<dyn Future<Output = u64> + Send>> + Send + Sync>;

/// Something that tasks do over and over. A step says how many operations it was.
struct Row {
    group: &'static str,
    name: &'static str,
    tasks: usize,
    step: Step,
    /// On which runtime, if the step says how many nanoseconds it took of what counts.
    timed_on: Option<&'static Runtime>,
    /// Operations a second in each round.
    rates: Vec<f64>,
}

/// A row's group and name.
type Name = (&'static str, &'static str);

/// What the ratios are, and what they should be.
const GOALS: [(Name, Name, f64); 12] = [
    (("get", "nori-cache"), ("get", "redis crate"), 0.9),
    (("set", "nori-cache"), ("set", "redis crate"), 0.9),
    (
        ("get_many of 100", "at once"),
        ("get_many of 100", "one by one"),
        20.0,
    ),
    (
        ("atomic_update", "nori-cache"),
        ("atomic_update", "WATCH"),
        1.0,
    ),
    (("load", "nori-cache"), ("get", "redis crate"), 0.9),
    (("near", "two tiers"), ("near", "in memory"), 1.0 / 1.3),
    (
        ("near", "two tiers"),
        ("get by one task", "redis crate"),
        50.0,
    ),
    (("far", "two tiers"), ("get", "redis crate"), 0.85),
    (("set", "two tiers"), ("set", "redis crate"), 0.85),
    (
        ("near with tags", "two tiers"),
        ("near", "two tiers"),
        1.0 / 1.2,
    ),
    (
        ("near with tags", "in memory"),
        ("near", "in memory"),
        1.0 / 1.2,
    ),
    (
        ("invalidation", "two tiers"),
        ("round trip", "redis crate"),
        0.5,
    ),
];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut rounds, mut millis, mut url) = (9, 500, None);
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("rounds") => rounds = parser.value()?.parse()?,
            Arg::Long("millis") => millis = parser.value()?.parse()?,
            Arg::Long("url") => url = Some(parser.value()?.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let server = match &url {
        Some(_) => None,
        None => Some(Server::start()?),
    };
    let url = url.unwrap_or_else(|| server.as_ref().map(Server::url).unwrap_or_default());
    let mut rows = rows(&url).await?;
    for round in 0..rounds {
        for nth in 0..rows.len() {
            let at = (nth + round) % rows.len();
            let rate = measure(&rows[at], Duration::from_millis(millis)).await;
            rows[at].rates.push(rate);
        }
    }
    println!("{rounds} rounds of {millis} ms, medians\n");
    println!("| | | operations/s |\n|---|---|--:|");
    for row in &rows {
        let rate = median(row.rates.iter().copied());
        println!("| {} | {} | {rate:.0} |", row.group, row.name);
    }
    println!("\n| | ratio | goal |\n|---|--:|--:|");
    for (ours, theirs, goal) in GOALS {
        let rates = |wanted| {
            let mut rows = rows.iter();
            let row = rows.find(|row| (row.group, row.name) == wanted);
            row.map_or(&[][..], |row| &row.rates)
        };
        // Within each round, so that what slows both down cancels out.
        let ratios = rates(ours).iter().zip(rates(theirs)).map(|(a, b)| a / b);
        let [ours, theirs] = [ours, theirs].map(|(group, name)| format!("{group}, {name}"));
        println!("| {ours} / {theirs} | {:.2} | {goal:.2} |", median(ratios));
    }
    CacheBackendExt::flush(&*backend(&url)?).await?;
    Ok(())
}

fn backend(url: &str) -> Result<Arc<dyn CacheBackend>, nori_cache::Error> {
    Ok(Arc::new(builder(url).build()?))
}

fn builder(url: &str) -> RedisCacheBackendBuilder {
    let builder = RedisCacheBackend::builder().url(url).prefix(PREFIX);
    builder.timeout(Duration::from_secs(10))
}

/// Two tiers, with room for so many copies.
fn tiers(url: &str, copies: usize) -> Result<Arc<dyn CacheBackend>, nori_cache::Error> {
    let tiers = TieredCacheBackend::builder().redis(builder(url));
    Ok(Arc::new(tiers.near_max_keys(copies).build()?))
}

/// Reads one key after the other, so many in each step.
fn reads(backend: &Arc<dyn CacheBackend>, keys: &[String], each: usize) -> Step {
    let (backend, keys) = (Arc::clone(backend), Arc::new(keys.to_vec()));
    step(move |n| {
        let (backend, keys) = (Arc::clone(&backend), Arc::clone(&keys));
        async move {
            let mut found = 0;
            for at in n * each..(n + 1) * each {
                let value = backend.get_shared::<String>(&keys[at % keys.len()]).await;
                found += u64::from(value.unwrap().is_some());
            }
            found
        }
    })
}

/// Loads values with four tags under keys beside these, and returns those keys.
async fn load_tagged(
    backend: &Arc<dyn CacheBackend>,
    keys: &[String],
) -> Result<Vec<String>, CacheError> {
    let keys = beside("tagged", keys);
    for key in &keys {
        let load = backend.load(key).ttl(TTL).tags(["a", "b", "c", "d"]);
        let value = |_| async { Ok::<_, CacheError>("v".repeat(100)) };
        load.or_load(value).await?;
    }
    Ok(keys)
}

/// Has a copy of a key, and waits until the copy is not used any more that a write by the crate's connection has put out of date.
async fn invalidated(near: &dyn CacheBackend, mut writer: MultiplexedConnection, key: &str) -> u64 {
    while !near.read_now(key, &mut |_| ()) {
        near.get_value(key).await.expect("the server is there");
    }
    let (started, on_server) = (Instant::now(), format!("{PREFIX}{key}"));
    let written: redis::RedisResult<()> = writer.set(on_server, "1").await;
    written.expect("the server is there");
    while near.read_now(key, &mut |_| ()) {
        tokio::task::yield_now().await;
    }
    started.elapsed().as_nanos() as u64
}

async fn rows(url: &str) -> Result<Vec<Row>, Box<dyn Error>> {
    let ours = backend(url)?;
    let client = redis::Client::open(url)?;
    let bare = client.get_multiplexed_async_connection().await?;
    let keys: Arc<Vec<String>> =
        Arc::new((0..KEYS).map(|n| format!("user:{n:011}:profile")).collect());
    let value: Arc<str> = "v".repeat(100).into();
    for key in keys.iter() {
        ours.set(key, value.to_string(), TTL).await?;
    }
    let mut rows = Vec::new();
    let mut row = |group, name, tasks, step| {
        rows.push(Row {
            group,
            name,
            tasks,
            step,
            timed_on: None,
            rates: Vec::new(),
        });
    };

    row("get", "nori-cache", 64, {
        let (ours, keys) = (Arc::clone(&ours), Arc::clone(&keys));
        step(move |n| {
            let (ours, keys) = (Arc::clone(&ours), Arc::clone(&keys));
            async move {
                let value: Option<String> = ours.get(&keys[n % KEYS]).await.unwrap();
                value.map_or(0, |_| 1)
            }
        })
    });
    row("get", "redis crate", 64, {
        let (bare, keys) = (bare.clone(), Arc::clone(&keys));
        step(move |n| {
            let (mut bare, keys) = (bare.clone(), Arc::clone(&keys));
            async move {
                let key = format!("{PREFIX}{}", keys[n % KEYS]);
                let value: Option<String> = bare.get(key).await.unwrap();
                value.map_or(0, |_| 1)
            }
        })
    });
    row("get by one task", "redis crate", 1, {
        let (bare, keys) = (bare.clone(), Arc::clone(&keys));
        step(move |n| {
            let (mut bare, keys) = (bare.clone(), Arc::clone(&keys));
            async move {
                let key = format!("{PREFIX}{}", keys[n % KEYS]);
                let value: Option<String> = bare.get(key).await.unwrap();
                value.map_or(0, |_| 1)
            }
        })
    });
    // Keys of their own: two tiers have copies of the others, and are told when these are written.
    let set_keys = Arc::new(beside("set", &keys));
    row("set", "nori-cache", 64, {
        let (ours, keys, value) = (Arc::clone(&ours), Arc::clone(&set_keys), Arc::clone(&value));
        step(move |n| {
            let (ours, keys, value) = (Arc::clone(&ours), Arc::clone(&keys), value.to_string());
            async move {
                ours.set(&keys[n % KEYS], value, TTL).await.unwrap();
                1
            }
        })
    });
    row("set", "redis crate", 64, {
        let (bare, keys) = (bare.clone(), Arc::clone(&set_keys));
        // As JSON, like ours.
        let value: Arc<str> = format!("{value:?}").into();
        step(move |n| {
            let (mut bare, keys, value) = (bare.clone(), Arc::clone(&keys), value.to_string());
            async move {
                let key = format!("{PREFIX}{}", keys[n % KEYS]);
                bare.pset_ex::<_, _, ()>(key, value, TTL.as_millis() as u64)
                    .await
                    .unwrap();
                1
            }
        })
    });
    row("load", "nori-cache", 64, {
        let (ours, keys) = (Arc::clone(&ours), Arc::new(beside("loaded", &keys)));
        for key in keys.iter() {
            let load = ours.load(key).ttl(TTL).fail_safe(TTL);
            let value = |_| async { Ok::<_, CacheError>("v".repeat(100)) };
            load.or_load(value).await?;
        }
        step(move |n| {
            let (ours, keys) = (Arc::clone(&ours), Arc::clone(&keys));
            async move {
                let load = ours.load(&keys[n % KEYS]).ttl(TTL).fail_safe(TTL);
                let nothing = |_| async { Err::<String, _>(CacheError::closed()) };
                load.or_load(nothing).await.unwrap().len().min(1) as u64
            }
        })
    });
    const NEAR: usize = 1_000;
    let memory: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(KEYS));
    // Keys of their own, which nobody writes: a write by another row would put the copies out of date.
    let near_keys = beside("near", &keys[..NEAR]);
    for key in &near_keys {
        memory.set(key, value.to_string(), TTL).await?;
        ours.set(key, value.to_string(), TTL).await?;
    }
    let near = tiers(url, KEYS)?;
    for (name, backend) in [("in memory", &memory), ("two tiers", &near)] {
        row("near", name, 1, reads(backend, &near_keys, 100));
        let tagged = load_tagged(backend, &near_keys).await?;
        row("near with tags", name, 1, reads(backend, &tagged, 100));
    }
    row("far", "two tiers", 64, reads(&tiers(url, 1)?, &keys, 1));
    let short = TieredCacheBackend::builder().redis(builder(url));
    let short = short.near_ttl(Duration::from_millis(1)).build()?;
    let short: Arc<dyn CacheBackend> = Arc::new(short);
    row("far, kept", "two tiers", 64, reads(&short, &keys, 1));
    row("set", "two tiers", 64, {
        let (ours, keys) = (tiers(url, KEYS)?, Arc::clone(&set_keys));
        let value = Arc::clone(&value);
        step(move |n| {
            let (ours, keys, value) = (Arc::clone(&ours), Arc::clone(&keys), value.to_string());
            async move {
                ours.set(&keys[n % KEYS], value, TTL).await.unwrap();
                1
            }
        })
    });
    row("get_many of 100", "at once", 1, {
        let (ours, keys) = (Arc::clone(&ours), Arc::clone(&keys));
        step(move |n| {
            let (ours, keys) = (Arc::clone(&ours), Arc::clone(&keys));
            async move {
                let from = n * 100 % KEYS;
                let names: Vec<&str> = keys[from..from + 100].iter().map(String::as_str).collect();
                ours.get_many::<String>(&names).await.unwrap().len() as u64
            }
        })
    });
    row("get_many of 100", "one by one", 1, {
        let (ours, keys) = (Arc::clone(&ours), Arc::clone(&keys));
        step(move |n| {
            let (ours, keys) = (Arc::clone(&ours), Arc::clone(&keys));
            async move {
                let from = n * 100 % KEYS;
                for key in &keys[from..from + 100] {
                    ours.get::<String>(key).await.unwrap();
                }
                100
            }
        })
    });
    row("atomic_update", "nori-cache", 8, {
        let ours = Arc::clone(&ours);
        step(move |_| {
            let ours = Arc::clone(&ours);
            async move {
                let add = async |n: Option<u64>| n.unwrap_or(0) + 1;
                ours.atomic_update("sum", None, add).await.unwrap();
                1
            }
        })
    });
    let mut own = Vec::new();
    for _ in 0..8 {
        own.push(client.get_multiplexed_async_connection().await?);
    }
    let own = Arc::new(own);
    row("atomic_update", "WATCH", 8, {
        step(move |n| {
            // Tasks start at places that are far apart: each has a connection of its own.
            let mut connection = own[n / APART % 8].clone();
            async move {
                watched(&mut connection).await.unwrap();
                1
            }
        })
    });
    let alone = Builder::new_current_thread().enable_all().build()?;
    // To the end of the process: it may not be dropped in another one.
    let alone: &Runtime = Box::leak(Box::new(alone));
    // Their connections are served by whoever is on that runtime.
    let (near, bare) = {
        let (client, url) = (client.clone(), url.to_owned());
        let connected = task::spawn_blocking(move || {
            alone.block_on(async {
                let bare = client.get_multiplexed_async_connection().await?;
                Ok::<_, Box<dyn Error + Send + Sync>>((tiers(&url, KEYS)?, bare))
            })
        });
        let connected = connected.await?;
        connected.map_err(|error| -> Box<dyn Error> { error })?
    };
    rows.push(timed("invalidation", "two tiers", alone, {
        let bare = bare.clone();
        step(move |_| {
            let (near, bare) = (Arc::clone(&near), bare.clone());
            async move { invalidated(&*near, bare, "invalidated").await }
        })
    }));
    rows.push(timed("round trip", "redis crate", alone, {
        step(move |_| {
            let mut bare = bare.clone();
            async move {
                let started = Instant::now();
                let written: redis::RedisResult<()> = bare.set("bench:written", "1").await;
                written.expect("the server is there");
                started.elapsed().as_nanos() as u64
            }
        })
    }));
    Ok(rows)
}

/// As many keys beside these.
fn beside(name: &str, keys: &[String]) -> Vec<String> {
    keys.iter().map(|key| format!("{name}:{key}")).collect()
}

/// Tasks start this far apart from each other.
const APART: usize = 1 << 40;

async fn watched(connection: &mut MultiplexedConnection) -> redis::RedisResult<()> {
    let key = "bench:watched";
    loop {
        redis::cmd("WATCH").arg(key).exec_async(connection).await?;
        let n: Option<u64> = connection.get(key).await?;
        let mut transaction = redis::pipe();
        transaction.atomic().set(key, n.unwrap_or(0) + 1).ignore();
        let done: Option<()> = transaction.query_async(connection).await?;
        if done.is_some() {
            return Ok(());
        }
    }
}

fn step<F: Future<Output = u64> + Send + 'static>(
    step: impl Fn(usize) -> F + Send + Sync + 'static,
) -> Step {
    Arc::new(move |n| Box::pin(step(n)))
}

/// A row of one task on a runtime of its own, whose steps say how many nanoseconds they took.
fn timed(group: &'static str, name: &'static str, alone: &'static Runtime, step: Step) -> Row {
    Row {
        group,
        name,
        tasks: 1,
        step,
        timed_on: Some(alone),
        rates: Vec::new(),
    }
}

/// Operations a second: as many as there were, or as the median of their times would make.
async fn measure(row: &Row, time: Duration) -> f64 {
    if let Some(alone) = row.timed_on {
        let step = Arc::clone(&row.step);
        let steps = task::spawn_blocking(move || alone.block_on(nanos(&step, time)));
        return 1e9 / median(steps.await.expect("no step panics"));
    }

    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..row.tasks)
        .map(|task| {
            let (step, done) = (Arc::clone(&row.step), Arc::clone(&done));
            tokio::spawn(async move {
                let (mut n, mut count) = (task * APART, 0);
                while started.elapsed() < time {
                    count += step(n).await;
                    n += 1;
                }
                // Relaxed: a counter.
                done.fetch_add(count, Ordering::Relaxed);
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no step panics");
    }
    done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64()
}

/// What the steps of one task say.
async fn nanos(step: &Step, time: Duration) -> Vec<f64> {
    let (started, mut nanos) = (Instant::now(), Vec::new());
    while started.elapsed() < time {
        nanos.push(step(nanos.len()).await as f64);
    }
    nanos
}

/// A redis-server that ends with this value.
struct Server(Child, u16);

impl Server {
    fn start() -> Result<Self, Box<dyn Error>> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("no redis-server ({error}): install it, or give --url"))?;
        let server = Self(child, port);
        for _ in 0..500 {
            if redis::Client::open(server.url())?.get_connection().is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Err("redis-server does not answer".into())
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
