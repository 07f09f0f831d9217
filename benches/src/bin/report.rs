//! Runs the workloads over all subjects and prints markdown tables.
//!
//! `report [--workload NAME,..] [--subjects NAME,..] [--rounds N] [--millis N] [--threads N,..] [--json FILE]
//! [--scaling FILE] [--list]`

#![forbid(unsafe_code)]

use std::{error::Error, fs, path::PathBuf, thread, time::Duration};

use lexopt::{Arg, Parser, ValueExt};
use nori_cache_benches::{
    alloc_counter::CountingAllocator,
    runner::{
        curves, json,
        round::{self, Outcome, Plan},
        scenario::{self, Scenario},
        table,
    },
    subjects,
    timer::Timer,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const HELP: &str = "\
report: nori-cache and its rivals, interleaved rounds, medians

  --workload NAMES   comma-separated; default: all
  --subjects NAMES   comma-separated; default: all
  --rounds N         how often each cell runs (default 9)
  --millis N         how long a cell is measured (default 400)
  --threads LIST     default 1,2
  --json FILE        also write every sample
  --scaling FILE     one to as many threads as there are cores, unless --threads says otherwise, and an SVG of the rates
  --list             print the names of workloads and subjects
";

struct Options {
    plan: Plan,
    scenarios: Vec<Scenario>,
    json: Option<String>,
    scaling: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(options) = parse(Parser::from_env())? else {
        return Ok(());
    };
    print_setting(&options.plan);
    let mut objects = Vec::new();
    let mut panels = Vec::new();
    for scenario in &options.scenarios {
        let outcome = round::run(scenario, &options.plan);
        println!("{}", table::markdown(scenario, &options.plan, &outcome));
        objects.push(json::object(scenario, &options.plan, &outcome));
        if let Outcome::Throughput(series) = outcome {
            panels.push((scenario.title, series));
        }
    }
    if let Some(file) = options.scaling {
        curves::draw(&file, &options.plan.threads, &panels)?;
    }
    if let Some(file) = options.json {
        fs::write(file, format!("[{}]\n", objects.join(",\n")))?;
    }
    Ok(())
}

fn print_setting(plan: &Plan) {
    let cores = cores();
    println!(
        "{} rounds of {} ms a cell, medians; {cores} cores, {}. Timestamps: {}, {} ns of each latency.\n",
        plan.rounds,
        plan.time.as_millis(),
        std::env::consts::ARCH,
        Timer::SOURCE,
        Timer::calibrate().overhead_nanos(),
    );
}

/// `None` after `--help` or `--list`.
fn parse(mut arguments: Parser) -> Result<Option<Options>, lexopt::Error> {
    let mut options = Options {
        plan: Plan {
            rounds: 9,
            time: Duration::from_millis(400),
            threads: Vec::new(),
            subjects: subjects::names().into_iter().map(str::to_owned).collect(),
        },
        scenarios: scenario::ALL.to_vec(),
        json: None,
        scaling: None,
    };
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("workload") => {
                options.scenarios = scenarios(&arguments.value()?.string()?)?;
            }
            Arg::Long("subjects") => {
                options.plan.subjects = subject_names(&arguments.value()?.string()?)?;
            }
            Arg::Long("rounds") => options.plan.rounds = positive(&mut arguments)? as usize,
            Arg::Long("millis") => {
                options.plan.time = Duration::from_millis(positive(&mut arguments)?);
            }
            Arg::Long("threads") => {
                options.plan.threads = thread_counts(&arguments.value()?.string()?)?;
            }
            Arg::Long("json") => options.json = Some(arguments.value()?.string()?),
            Arg::Long("scaling") => options.scaling = Some(arguments.value()?.into()),
            Arg::Long("list") => {
                let workloads: Vec<&str> = scenario::ALL.iter().map(|s| s.name).collect();
                println!("workloads: {}", workloads.join(" "));
                println!("subjects: {}", subjects::names().join(" "));
                return Ok(None);
            }
            Arg::Short('h') | Arg::Long("help") => {
                print!("{HELP}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    if options.plan.threads.is_empty() {
        options.plan.threads = match options.scaling {
            Some(_) => curves::threads(cores()),
            None => vec![1, 2],
        };
    }
    Ok(Some(options))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn positive(arguments: &mut Parser) -> Result<u64, lexopt::Error> {
    match arguments.value()?.parse()? {
        0 => Err("zero would measure nothing".into()),
        n => Ok(n),
    }
}

fn scenarios(list: &str) -> Result<Vec<Scenario>, lexopt::Error> {
    list.split(',')
        .map(|name| {
            scenario::ALL
                .into_iter()
                .find(|scenario| scenario.name == name)
                .ok_or_else(|| format!("no workload is called `{name}` (see --list)").into())
        })
        .collect()
}

fn subject_names(list: &str) -> Result<Vec<String>, lexopt::Error> {
    let known = subjects::names();
    list.split(',')
        .map(|name| match known.contains(&name) {
            true => Ok(name.to_owned()),
            false => Err(format!("no subject is called `{name}` (see --list)").into()),
        })
        .collect()
}

fn thread_counts(list: &str) -> Result<Vec<usize>, lexopt::Error> {
    list.split(',')
        .map(|count| match count.parse() {
            Ok(threads) if threads > 0 => Ok(threads),
            _ => Err(format!("`{count}` is not a number of threads").into()),
        })
        .collect()
}
