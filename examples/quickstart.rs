//! A cache under load: many threads `get`, and `insert` on a miss.
//!
//! ```text
//! cargo run --release --example quickstart              # generated traffic
//! cargo run --release --example quickstart keys.txt     # your own: one key per line, in the order of the requests
//! ```
//!
//! The cache holds one key in ten, so it has to choose.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fmt;
use std::fs;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use nori_cache::Cache;
use rand::SeedableRng;
use rand::distr::Distribution;
use rand::rngs::StdRng;
use rand_distr::Zipf;

type Profiles = Cache<String, Arc<str>>;

/// Threads fetch their work in pieces of this many requests, so that together they keep the order of the requests.
const PIECE: usize = 4_096;
/// One request in this many is timed: reading the clock costs as much as a hit.
const SAMPLE: usize = 8;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = env::args_os().skip(1);
    let traffic = match (args.next(), args.next()) {
        (None, _) => Traffic::generate(16_000_000, 100_000, 0.99)?,
        (Some(path), None) => Traffic::read(&path.to_string_lossy())?,
        (Some(_), Some(_)) => return Err("usage: quickstart [FILE_OF_KEYS]".into()),
    };
    let threads = thread::available_parallelism()?.get();
    let cache: Profiles = Cache::builder()
        .max_keys(traffic.one_key_in_ten())
        .ttl(Duration::from_secs(3_600))
        .build()?;
    println!("{}, {threads} threads", traffic.title);

    let replay = replay(&cache, &traffic, threads);
    let stats = cache.stats();
    let ns_per_hit = time_hits(&cache, &traffic, threads);

    println!();
    let seconds = replay.took.as_secs_f64();
    let rate = traffic.requests.len() as f64 / seconds / 1e6;
    let row = |name: &str, value: &str, note: &str| {
        println!("{}", format!("  {name:<12}{value:>12}   {note}").trim_end());
    };
    let count = |n: u64| HumanCount(n).to_string();
    row(
        "requests",
        &count(traffic.requests.len() as u64),
        &format!("in {seconds:.1} s, {rate:.1} M/s"),
    );
    row(
        "hit ratio",
        &format!("{:.2} %", 100.0 * stats.hit_ratio()),
        &format!("{} misses", count(stats.misses)),
    );
    row("evictions", &count(stats.evictions), "");
    row(
        "len",
        &count(cache.len() as u64),
        &format!("of max_keys {}", count(cache.max_keys() as u64)),
    );
    row(
        "ns per hit",
        &format!("{ns_per_hit:.1}"),
        &format!("with {threads} threads at it"),
    );

    println!();
    let columns = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    print!("  {:<12}", "latency");
    columns.iter().for_each(|column| print!("{column:>10}"));
    println!();
    for (name, latencies) in [("hit", &replay.hits), ("miss", &replay.misses)] {
        print!("  {name:<12}");
        for quantile in [0.5, 0.9, 0.99, 0.999, 0.999_9, 1.0] {
            print!("{:>10}", nanos(latencies, quantile));
        }
        println!();
    }
    println!("\n  A miss is a get, making the value, and an insert.");
    Ok(())
}

// ---- traffic ---------------------------------------------------------------------------------------------------

/// What is asked for, in order: `requests` are places in `keys`.
struct Traffic {
    title: String,
    keys: Vec<String>,
    requests: Vec<u32>,
}

impl Traffic {
    /// Zipf traffic, the same on every run.
    fn generate(requests: usize, keys: u32, exponent: f64) -> Result<Self, Box<dyn Error>> {
        let bar = progress("generating", requests);
        let mut rng = StdRng::seed_from_u64(42);
        let zipf = Zipf::new(f64::from(keys), exponent)?;
        let requests = (0..requests)
            .map(|n| {
                if n % PIECE == 0 {
                    bar.inc(PIECE as u64);
                }
                // Ranks start at 1.
                zipf.sample(&mut rng) as u32 - 1
            })
            .collect();
        bar.finish_and_clear();
        Ok(Self {
            title: format!("Zipf {exponent} over {} keys", HumanCount(u64::from(keys))),
            keys: (0..keys)
                .map(|id| format!("user:{id:011}:profile"))
                .collect(),
            requests,
        })
    }

    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let text = fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        let text = String::from_utf8_lossy(&text);
        let mut places = HashMap::new();
        let mut keys = Vec::new();
        let mut requests = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let place = *places.entry(line).or_insert_with(|| {
                keys.push(line.to_owned());
                keys.len() - 1
            });
            requests.push(u32::try_from(place).map_err(|_| "more than 2^32 distinct keys")?);
        }
        if requests.is_empty() {
            return Err(format!("{path} holds no keys; one per line is expected").into());
        }
        Ok(Self {
            title: format!("{path}: {} distinct keys", HumanCount(keys.len() as u64)),
            keys,
            requests,
        })
    }

    /// The size of the cache. Where there are few keys anyway, it may have some more of them.
    fn one_key_in_ten(&self) -> usize {
        (self.keys.len() / 10).max(self.keys.len().min(64))
    }
}

// ---- the two runs ----------------------------------------------------------------------------------------------

struct Replay {
    took: Duration,
    hits: Histogram<u64>,
    misses: Histogram<u64>,
}

/// What a service does: look the key up, and make and store the value if it is not there.
fn replay(cache: &Profiles, traffic: &Traffic, threads: usize) -> Replay {
    let bar = progress("replaying", traffic.requests.len());
    let clock_cost = clock_cost();
    let next_piece = AtomicUsize::new(0);
    let work = || {
        let (mut hits, mut misses) = (latencies(), latencies());
        let mut pieces = traffic.requests.chunks(PIECE);
        let mut at = 0;
        loop {
            let piece = next_piece.fetch_add(1, Ordering::Relaxed);
            let Some(requests) = pieces.nth(piece - at) else {
                return (hits, misses);
            };
            at = piece + 1;
            for (n, &request) in requests.iter().enumerate() {
                let key = &traffic.keys[request as usize];
                let started = (n % SAMPLE == 0).then(Instant::now);
                let hit = cache.get(key).is_some();
                if !hit {
                    cache.insert(key.clone(), profile(key));
                }
                if let Some(started) = started {
                    let took = started.elapsed().saturating_sub(clock_cost);
                    let latencies = if hit { &mut hits } else { &mut misses };
                    latencies.saturating_record(took.as_nanos() as u64);
                }
            }
            bar.inc(requests.len() as u64);
        }
    };
    let started = Instant::now();
    let (hits, misses) = on_each(threads, work).fold((latencies(), latencies()), |mut all, one| {
        all.0 += one.0;
        all.1 += one.1;
        all
    });
    let took = started.elapsed();
    bar.finish_and_clear();
    Replay { took, hits, misses }
}

/// Nothing but hits, by all threads at once: nanoseconds each of them takes for one.
fn time_hits(cache: &Profiles, traffic: &Traffic, threads: usize) -> f64 {
    const HITS: usize = 8_000_000;
    let hot: Vec<&str> = traffic
        .requests
        .iter()
        .rev()
        .map(|&request| traffic.keys[request as usize].as_str())
        .filter(|key| cache.contains_key(*key))
        .take(1_000_000)
        .collect();
    let bar = progress("hitting", threads * HITS);
    let work = || {
        let started = Instant::now();
        let mut asked = 0;
        for piece in hot.chunks(PIECE).cycle() {
            if asked >= HITS {
                break;
            }
            for key in piece {
                black_box(cache.get(*key));
            }
            asked += piece.len();
            bar.inc(piece.len() as u64);
        }
        started.elapsed().as_nanos() as f64 / asked as f64
    };
    let sum: f64 = on_each(threads, work).sum();
    bar.finish_and_clear();
    sum / threads as f64
}

/// Stands for the database, the network or the template that makes a miss dear.
fn profile(key: &str) -> Arc<str> {
    format!("{{\"key\": \"{key}\", \"plan\": \"free\"}}").into()
}

// ---- odds and ends ---------------------------------------------------------------------------------------------

/// Runs `work` on so many threads at once.
fn on_each<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> impl Iterator<Item = T> {
    let results: Vec<T> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&work)).collect();
        let results = running
            .into_iter()
            .map(|thread| thread.join().expect("a worker panicked"));
        results.collect()
    });
    results.into_iter()
}

/// What two readings of the clock cost, to be taken off what lies between them.
fn clock_cost() -> Duration {
    (0..10_000)
        .map(|_| Instant::now().elapsed())
        .min()
        .unwrap_or_default()
}

fn latencies() -> Histogram<u64> {
    // 1 ns to 10 s at three digits.
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds and digits are within range")
}

fn nanos(latencies: &Histogram<u64>, quantile: f64) -> String {
    match latencies.value_at_quantile(quantile) {
        _ if latencies.is_empty() => "-".to_owned(),
        ns @ 0..1_000 => format!("{ns} ns"),
        ns @ 1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        ns => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

fn progress(what: &'static str, steps: usize) -> ProgressBar {
    let template = "{msg:>12} [{bar:40}] {percent:>3} % of {human_len}, {rate}";
    let style = ProgressStyle::with_template(template)
        .expect("the template is well-formed")
        .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
            // A bar that cannot be drawn is no reason to stop.
            let _ = write!(out, "{:.1} M/s", state.per_sec() / 1e6);
        })
        .progress_chars("=> ");
    ProgressBar::new(steps as u64)
        .with_style(style)
        .with_message(what)
}
