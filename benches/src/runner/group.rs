//! Rows of work in groups, whose first row the others are compared with: interleaved rounds, whose order rotates, and medians.

use super::stats::median;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Operations between two looks at the flag that ends a cell.
pub const BATCH: usize = 256;

/// What a thread does `BATCH` times, from a place in the order of keys.
pub type Work = Arc<dyn Fn(usize) + Send + Sync>;

/// One line of a table.
pub struct Row {
    group: &'static str,
    name: &'static str,
    work: Work,
    /// Operations a second in each round.
    rates: Vec<f64>,
}

impl Row {
    /// A row that has not been measured.
    pub fn new(group: &'static str, name: &'static str, work: Work) -> Self {
        Self {
            group,
            name,
            work,
            rates: Vec::new(),
        }
    }
}

/// How long it takes.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How often each row is measured.
    pub rounds: usize,
    /// Milliseconds of each.
    pub millis: u64,
}

impl Options {
    /// Reads `--rounds` and `--millis`; `None` after `--help`.
    ///
    /// # Errors
    /// If there is anything else.
    pub fn parse(mut arguments: lexopt::Parser) -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;
        let mut options = Self {
            rounds: 9,
            millis: 300,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Long("rounds") => options.rounds = arguments.value()?.parse()?,
                Long("millis") => options.millis = arguments.value()?.parse()?,
                Short('h') | Long("help") => {
                    println!("  --rounds N    how often each row is measured (9)");
                    println!("  --millis N    for how long, each time (300)");
                    return Ok(None);
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(options))
    }
}

/// The answer of a future that is ready.
///
/// # Panics
/// If it is not.
#[inline]
pub fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("in memory nothing waits"),
    }
}

/// Measures all rows with so many threads, and prints them.
pub fn run(rows: &mut [Row], threads: usize, options: Options) {
    let len = rows.len();
    for round in 0..options.rounds {
        for turn in 0..len {
            let row = &mut rows[(round + turn) % len];
            let time = Duration::from_millis(options.millis);
            row.rates.push(measure(&row.work, threads, time));
        }
    }
    println!("\n{threads} thread(s): million a second, and over the first of its group\n");
    let mut first = ("", 0.0);
    for row in rows {
        let rate = median(row.rates.iter().copied());
        if first.0 != row.group {
            first = (row.group, rate);
        }
        let (rate, ratio) = (rate / 1e6, rate / first.1);
        println!("| {} | {} | {rate:.2} | {ratio:.2} |", row.group, row.name);
    }
}

/// Operations a second of `threads` threads together.
fn measure(work: &Work, threads: usize, time: Duration) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicU64::new(0));
    let barrier = Arc::new(Barrier::new(threads + 1));
    let running: Vec<_> = (0..threads)
        .map(|number| {
            let (work, stop) = (Arc::clone(work), Arc::clone(&stop));
            let (done, barrier) = (Arc::clone(&done), Arc::clone(&barrier));
            thread::spawn(move || {
                let mut at = number * 7919;
                work(at);
                barrier.wait();
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    work(at);
                    at += BATCH;
                    count += BATCH as u64;
                }
                done.fetch_add(count, Ordering::Relaxed);
            })
        })
        .collect();
    barrier.wait();
    let start = Instant::now();
    thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    for thread in running {
        thread.join().expect("no thread panics");
    }
    done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}
