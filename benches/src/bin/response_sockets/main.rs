//! Hits over loopback sockets: an axum handler without a layer, the same one behind the response layer, nginx and Varnish.
//!
//! ```sh
//! cargo run -p nori-cache-benches --profile bench --bin response_sockets -- --rounds 7 --millis 1000 --connections 32
//! ```
//!
//! Each server is a process of its own and has one worker (nginx: one process; axum: a runtime of one thread; Varnish: one pool
//! of threads). The load comes from this process, from one thread: on two cores each side has one of its own. All answer the
//! same 1 KiB of JSON on connections that are kept alive; each connection has one request on its way at a time. Rounds are
//! interleaved, the order rotates, medians are shown.
//!
//! Where the load generator is what holds a server up, the rates say little about it: so the table also has the processor time
//! that each server took for a request, by `/proc` (its threads and those of its child processes).

#![forbid(unsafe_code)]

mod load;
mod servers;

use hdrhistogram::Histogram;
use lexopt::ValueExt as _;
use load::Load;
use nori_cache_benches::runner::stats::median;
use servers::Server;
use std::time::Duration;

/// What a server did in its rounds.
struct Row {
    server: Server,
    /// Requests a second, in each round.
    rates: Vec<f64>,
    /// Microseconds of the server's processor time for a request, in each round.
    processor: Vec<f64>,
    /// In nanoseconds, over all rounds.
    latency: Histogram<u64>,
}

impl Row {
    fn new(server: Server) -> Self {
        Self {
            server,
            rates: Vec::new(),
            processor: Vec::new(),
            latency: Histogram::new_with_max(60_000_000_000, 3).expect("a minute, to three digits"),
        }
    }

    fn run(&mut self, load: &Load) {
        let before = self.server.processor_nanos();
        let done = load.run(self.server.address(), &mut self.latency);
        let nanos = self.server.processor_nanos() - before;
        self.rates
            .push(done.requests as f64 / done.time.as_secs_f64());
        self.processor
            .push(nanos as f64 / 1000.0 / done.requests as f64);
    }
}

fn main() {
    let (mut rounds, mut millis, mut connections) = (7_usize, 1000_usize, 32_usize);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next().expect("arguments are text") {
        let place = match argument {
            lexopt::Arg::Long("rounds") => &mut rounds,
            lexopt::Arg::Long("millis") => &mut millis,
            lexopt::Arg::Long("connections") => &mut connections,
            // This process is one of the servers.
            lexopt::Arg::Long("serve") => {
                let what = arguments.value().expect("it says what");
                return servers::serve(&what.to_string_lossy());
            }
            _ => panic!("--rounds, --millis and --connections are what there is"),
        };
        let value = arguments.value().expect("it has a value");
        *place = value.parse().expect("it is a number");
    }
    let servers = Server::start_all();
    let mut rows: Vec<Row> = servers.into_iter().map(Row::new).collect();
    let load = Load::new(connections, Duration::from_millis(millis as u64));
    for row in &mut rows {
        // Fills the cache, and warms up.
        let head = load.ask_twice(row.server.address());
        assert!(
            row.server.is_hit(&head),
            "{}: no hit: {head}",
            row.server.name()
        );
        row.run(&load);
        *row = Row::new(std::mem::replace(&mut row.server, Server::none()));
    }
    for round in 0..rounds {
        for turn in 0..rows.len() {
            let at = (round + turn) % rows.len();
            rows[at].run(&load);
        }
    }
    print(&mut rows);
}

fn print(rows: &mut [Row]) {
    println!(
        "| hit over loopback, 1 KiB | requests / s | × the bare handler | server's µs / request | × | p50 µs | p99 µs | p99.9 µs |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|--:|");
    let mut bare = None;
    for row in rows {
        let rate = median(row.rates.clone());
        let processor = median(row.processor.clone());
        let (bare_rate, bare_processor) = *bare.get_or_insert((rate, processor));
        let micros = |quantile| row.latency.value_at_quantile(quantile) as f64 / 1000.0;
        println!(
            "| {} | {rate:.0} | {:.2} | {processor:.2} | {:.2} | {:.0} | {:.0} | {:.0} |",
            row.server.name(),
            rate / bare_rate,
            processor / bare_processor,
            micros(0.5),
            micros(0.99),
            micros(0.999),
        );
    }
}
