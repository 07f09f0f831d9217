//! A rate limit in ten lines: a counter for each caller and window, which expires with the window.
//!
//! ```sh
//! cargo run --release --example rate_limit
//! ```
//!
//! On memory this limits one process; with `CACHE_BACKEND=redis` (and the feature `redis`) the whole fleet shares the counters.

use nori_cache::{Error, cache_incr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// At most this many requests of one caller in each window.
const LIMIT: i64 = 5;
const WINDOW: Duration = Duration::from_millis(500);

/// Whether the caller may go on.
///
/// The window is part of the key, so a new one starts at zero; the time to live only clears old windows away. It is set when
/// the counter is born, and requests that follow never prolong it.
async fn allow(caller: &str) -> Result<bool, Error> {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let window = since.as_millis() / WINDOW.as_millis();
    let requests = cache_incr(&format!("rate:{caller}:{window}"), WINDOW * 2).await?;
    Ok(requests <= LIMIT)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let start = Instant::now();
    let mut line = String::new();
    while start.elapsed() < Duration::from_secs(2) {
        line.push(if allow("ana").await? { '+' } else { '.' });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("{LIMIT} requests in {WINDOW:?}; + went through, . did not:\n{line}");

    let start = Instant::now();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(async {
                let mut allowed = 0;
                for _ in 0..100_000 {
                    allowed += u64::from(allow("everyone").await?);
                }
                Ok::<_, Error>(allowed)
            })
        })
        .collect();
    let mut allowed = 0;
    for task in tasks {
        allowed += task.await.expect("no task panics")?;
    }
    let took = start.elapsed();
    println!("800000 checks by 8 tasks took {took:.0?}; {allowed} went through");
    Ok(())
}
