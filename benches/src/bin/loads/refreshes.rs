//! How long callers take while what they ask for is refreshed in the background, beside callers whose entries are fresh throughout.
//!
//! Many tasks ask for few keys. In one row the entries are due long before they expire, and the source is slow: the next caller begins a
//! refresh, and it and all others get what there is. So a caller is to take what a hit takes, whatever the source does. In the last row
//! the source takes longer than the entries live, so that callers come to stale ones, and wait for as long as the soft timeout says.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hdrhistogram::Histogram;
use nori_cache::{CacheBackendExt, Error, LoadCounts, MemoryCacheBackend};
use nori_cache_benches::runner::group::Options;
use nori_cache_benches::runner::stats::median;
use nori_cache_benches::timer::{self, Timer};

use super::{TTL, Value, key, value};

const TASKS: usize = 64;
/// Fewer than loads may be in the background at a time.
const KEYS: usize = 200;
/// How many loads a task does before it lets others run.
const TURN: usize = 32;
const SOFT_TIMEOUT: Duration = Duration::from_millis(1);

/// How the entries of one row live.
#[derive(Clone, Copy)]
struct Life {
    name: &'static str,
    ttl: Duration,
    /// How long a loader takes.
    load: Duration,
    eager_refresh: f64,
}

const LIVES: [Life; 3] = [
    Life {
        name: "plain hits",
        ttl: TTL,
        load: Duration::ZERO,
        eager_refresh: 0.9,
    },
    Life {
        name: "eager refresh and soft timeout, a slow source",
        ttl: Duration::from_millis(2_000),
        load: Duration::from_millis(20),
        eager_refresh: 0.25,
    },
    Life {
        name: "soft timeout alone, a source that takes longer than entries live",
        ttl: Duration::from_millis(10),
        load: Duration::from_millis(20),
        eager_refresh: 0.999,
    },
];

/// What the callers of one row have come to, in one round.
struct Round {
    latency: Histogram<u64>,
    counts: LoadCounts,
}

/// All that a task needs.
#[derive(Clone)]
struct Caller {
    backend: Arc<MemoryCacheBackend>,
    keys: Arc<Vec<String>>,
    life: Life,
    timer: Timer,
    stop: Arc<AtomicBool>,
}

impl Caller {
    fn load<'c>(&'c self, key: &'c str) -> impl Future<Output = Result<Value, Error>> + Send {
        let Life {
            ttl,
            load,
            eager_refresh,
            ..
        } = self.life;
        let all = self.backend.load(key).ttl(ttl).fail_safe(TTL);
        let all = all.soft_timeout(SOFT_TIMEOUT).eager_refresh(eager_refresh);
        all.or_load(move |_| async move {
            if !load.is_zero() {
                tokio::time::sleep(load).await;
            }
            Ok(value())
        })
    }

    /// The first caller's loader runs for each key.
    async fn fill(&self) {
        for key in &*self.keys {
            self.load(key).await.expect("it is loaded");
        }
    }

    async fn run(self, from: usize) -> Histogram<u64> {
        let mut latency =
            Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are constants");
        let mut at = from;
        while !self.stop.load(Ordering::Relaxed) {
            for _ in 0..TURN {
                at = (at + 1) % self.keys.len();
                let began = timer::now();
                let value = self.load(&self.keys[at]).await;
                let ended = timer::now();
                black_box(value.expect("nothing fails here"));
                latency.saturating_record(self.timer.nanos(began, ended));
            }
            tokio::task::yield_now().await;
        }
        latency
    }
}

async fn round(life: Life, timer: Timer, time: Duration) -> Round {
    let caller = Caller {
        backend: Arc::new(MemoryCacheBackend::new(2 * KEYS)),
        keys: Arc::new((0..KEYS).map(key).collect()),
        // They are filled with what is there at once, and live their lives from then on.
        life: Life {
            load: Duration::ZERO,
            ..life
        },
        timer,
        stop: Arc::default(),
    };
    caller.fill().await;
    let before = caller.backend.load_counts();
    let caller = Caller { life, ..caller };
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| tokio::spawn(caller.clone().run(task * KEYS / TASKS)))
        .collect();
    tokio::time::sleep(time).await;
    caller.stop.store(true, Ordering::Relaxed);
    let mut latency: Option<Histogram<u64>> = None;
    for task in tasks {
        let of_task = task.await.expect("no task panics");
        match &mut latency {
            Some(latency) => latency.add(of_task).expect("they have the same bounds"),
            None => latency = Some(of_task),
        }
    }
    let mut counts = caller.backend.load_counts();
    counts.begun -= before.begun;
    Round {
        latency: latency.expect("there are tasks"),
        counts,
    }
}

/// Measures all rows in interleaved rounds, and prints them.
pub fn run(options: Options) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .worker_threads(2)
        .build()
        .expect("a runtime can be built");
    let timer = Timer::calibrate();
    // The second row's entries are to come of age.
    let time = Duration::from_millis(options.millis.max(1_000));
    let mut rows: Vec<Vec<Round>> = LIVES.iter().map(|_| Vec::new()).collect();
    for nth in 0..options.rounds {
        for turn in 0..LIVES.len() {
            let row = (nth + turn) % LIVES.len();
            let measured = runtime.block_on(runtime.spawn(round(LIVES[row], timer, time)));
            rows[row].push(measured.expect("no task panics"));
        }
    }
    println!(
        "\n{TASKS} tasks, {KEYS} keys, 2 threads, a soft timeout of {SOFT_TIMEOUT:?}: nanoseconds of a caller\n"
    );
    println!("| | p50 | p99 | p99 over plain hits' | p99.9 | loads begun | soft timeouts |");
    println!("|---|---|---|---|---|---|---|");
    let mut plain = None;
    for (life, rounds) in LIVES.iter().zip(&rows) {
        let at = |quantile| {
            let all = rounds
                .iter()
                .map(|it| it.latency.value_at_quantile(quantile));
            median(all.map(|nanos| nanos as f64))
        };
        let count =
            |of: fn(&LoadCounts) -> u64| -> u64 { rounds.iter().map(|it| of(&it.counts)).sum() };
        let p99 = at(0.99);
        let ratio = p99 / *plain.get_or_insert(p99);
        println!(
            "| {} | {:.0} | {p99:.0} | {ratio:.2} | {:.0} | {} | {} |",
            life.name,
            at(0.5),
            at(0.999),
            count(|counts| counts.begun),
            count(|counts| counts.soft_timeouts),
        );
    }
    let refreshes: u64 = rows[1].iter().map(|it| it.counts.refreshed).sum();
    assert!(refreshes > 0, "nothing was refreshed");
}
