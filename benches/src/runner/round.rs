//! Rounds: every subject once, in rotating order, with each number of threads.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::{
    cell::Sample,
    contender::{self, Contender},
    memory::{self, Footprint},
    scenario::{Action, Entries, Kind, Scenario},
};
use crate::{Key, Profile, Value, timer::Timer};

/// How much to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How often each cell runs.
    pub rounds: usize,
    /// How long a cell is measured.
    pub time: Duration,
    /// The numbers of threads to run throughput with.
    pub threads: Vec<usize>,
    /// The names of the subjects to run.
    pub subjects: Vec<String>,
}

/// The samples of one subject.
#[derive(Clone, Debug)]
pub struct Series<T> {
    /// The subject's name.
    pub subject: &'static str,
    /// One series per entry of [`Plan::threads`] (a single one for latency), one sample per round; empty if the
    /// subject cannot run on that many threads.
    pub samples: Vec<Vec<T>>,
}

/// What one workload measured, subject by subject.
pub enum Outcome {
    /// Rates.
    Throughput(Vec<Series<Sample>>),
    /// Latencies.
    Latency(Vec<Series<Histogram<u64>>>),
    /// Bytes and allocations.
    Memory(Vec<Footprint>),
}

/// Runs one workload.
pub fn run(scenario: &Scenario, plan: &Plan) -> Outcome {
    match scenario.entries {
        Entries::Text => run_entries::<String, Profile>(scenario, plan),
        Entries::Numbers => run_entries::<u64, u64>(scenario, plan),
    }
}

fn run_entries<K: Key, V: Value>(scenario: &Scenario, plan: &Plan) -> Outcome {
    match scenario.kind {
        Kind::Throughput(action) => {
            let keys = scenario.keys::<K>();
            let contenders = contender::fill::<K, V>(scenario, &keys, &plan.subjects);
            Outcome::Throughput(throughput(scenario, plan, action, &keys, contenders))
        }
        Kind::Latency => {
            let keys = scenario.keys::<K>();
            let contenders = contender::fill::<K, V>(scenario, &keys, &plan.subjects);
            Outcome::Latency(latency(scenario, plan, &keys, contenders))
        }
        Kind::Memory => Outcome::Memory(memory::run::<K, V>(scenario, &plan.subjects)),
    }
}

fn throughput<K>(
    scenario: &Scenario,
    plan: &Plan,
    action: Action,
    keys: &[K],
    mut contenders: Vec<Box<dyn Contender<K>>>,
) -> Vec<Series<Sample>> {
    let mut series = empty_series(&contenders, plan.threads.len());
    for round in 0..plan.rounds {
        eprintln!("{}: round {} of {}", scenario.name, round + 1, plan.rounds);
        for (column, &threads) in plan.threads.iter().enumerate() {
            for nth in rotation(round, contenders.len()) {
                let sample = contenders[nth].throughput(action, keys, threads, plan.time);
                series[nth].samples[column].extend(sample);
            }
        }
    }
    series
}

fn latency<K>(
    scenario: &Scenario,
    plan: &Plan,
    keys: &[K],
    mut contenders: Vec<Box<dyn Contender<K>>>,
) -> Vec<Series<Histogram<u64>>> {
    let timer = Timer::calibrate();
    let mut series = empty_series(&contenders, 1);
    for round in 0..plan.rounds {
        eprintln!("{}: round {} of {}", scenario.name, round + 1, plan.rounds);
        for nth in rotation(round, contenders.len()) {
            let histogram = contenders[nth].latency(keys, timer, plan.time);
            series[nth].samples[0].extend(histogram);
        }
    }
    series
}

fn empty_series<K, T: Clone>(
    contenders: &[Box<dyn Contender<K>>],
    columns: usize,
) -> Vec<Series<T>> {
    contenders
        .iter()
        .map(|contender| Series {
            subject: contender.name(),
            samples: vec![Vec::new(); columns],
        })
        .collect()
}

/// `0..n`, starting one further each round.
fn rotation(round: usize, n: usize) -> impl Iterator<Item = usize> {
    (0..n).map(move |nth| (nth + round) % n)
}
