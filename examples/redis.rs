//! A fleet of worker processes that share counters on Redis.
//!
//! ```text
//! cargo run --release --features redis --example redis                                   # REDIS_URL, or redis://localhost:6379
//! cargo run --release --features redis --example redis -- redis://:password@host:6379/1
//! ```
//!
//! The workers draw job numbers from one counter, so that no job is done twice, and keep one tally. Stop the server while they
//! run: they say so at once, and go on within a second of its return.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::process::{Command, ExitCode, id};
use std::time::{Duration, Instant};

use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend};
use tokio::time::sleep;

const WORKERS: usize = 4;
const JOBS: i64 = 20_000;
const HOUR: Duration = Duration::from_secs(3600);

/// How many jobs each worker has done.
type Tally = BTreeMap<String, u32>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let url = args
        .next()
        .or_else(|| env::var("REDIS_URL").ok())
        .unwrap_or_else(|| "redis://localhost:6379".to_owned());
    let ran = match args.next() {
        Some(_) => work(&url).await,
        None => lead(&url).await,
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn fleet(url: &str) -> Result<RedisCacheBackend, nori_cache::Error> {
    RedisCacheBackend::builder()
        .url(url)
        .prefix("nori-cache-example:")
        .build()
}

/// Starts the workers, waits for them and shows the tally.
async fn lead(url: &str) -> Result<(), Box<dyn Error>> {
    let backend = fleet(url)?;
    backend.verify().await?;
    backend.flush().await?;
    let started = Instant::now();
    let mut workers = Vec::new();
    for _ in 0..WORKERS {
        workers.push(
            Command::new(env::current_exe()?)
                .args([url, "worker"])
                .spawn()?,
        );
    }
    for mut worker in workers {
        if !worker.wait()?.success() {
            return Err("a worker failed".into());
        }
    }
    let tally: Tally = backend.get("tally").await?.unwrap_or_default();
    for (worker, jobs) in &tally {
        println!("worker {worker:<8} {jobs:>6} jobs");
    }
    let done: u32 = tally.values().sum();
    println!(
        "{done} of {JOBS} jobs in {:.1?}, each once",
        started.elapsed()
    );
    backend.flush().await?;
    Ok(backend.close().await?)
}

/// Draws jobs until there are none.
async fn work(url: &str) -> Result<(), Box<dyn Error>> {
    let backend = fleet(url)?;
    let mut done = 0;
    loop {
        let job = match backend.incr("job", HOUR).await {
            Ok(job) => job,
            Err(error) if error.is_connection() || error.is_timeout() => {
                eprintln!("worker {}: {error}", id());
                sleep(Duration::from_millis(200)).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if job > JOBS {
            break;
        }
        done += 1;
    }
    let add = async |tally: Option<Tally>| {
        let mut tally = tally.unwrap_or_default();
        tally.insert(id().to_string(), done);
        tally
    };
    backend.atomic_update("tally", HOUR, add).await?;
    Ok(())
}
