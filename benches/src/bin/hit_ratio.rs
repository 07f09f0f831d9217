//! Hit ratios of ours, moka and quick_cache beside an exact LRU, on recorded or generated request sequences.
//!
//! `hit_ratio [--traces DIR]`

#![forbid(unsafe_code)]

use std::{error::Error, num::NonZeroUsize, path::PathBuf};

use ahash::RandomState;
use lexopt::{Arg, Parser, ValueExt};
use lru::LruCache;
use nori_cache_benches::{
    Subject,
    subjects::{Moka, NoriCache, QuickCache},
    trace::{self, Trace},
};

const HELP: &str = "\
hit_ratio: hit ratios beside an exact LRU (get, insert on a miss, one thread)

  --traces DIR   a folder of NAME.u64.zst files; without it workloads are generated
";

/// Cache sizes as shares of a trace's distinct keys.
const SHARES: [f64; 3] = [0.005, 0.05, 0.2];

/// Replays requests against a cache of a size and returns the hits in percent.
type Replay = fn(&[u64], usize) -> f64;

/// Columns after the exact LRU.
const SUBJECTS: [(&str, Replay); 3] = [
    ("nori-cache", replay::<NoriCache<u64, u64>>),
    ("moka", replay::<Moka<u64, u64>>),
    ("quick_cache", replay::<QuickCache<u64, u64>>),
];

fn main() -> Result<(), Box<dyn Error>> {
    let Some(folder) = parse(Parser::from_env())? else {
        return Ok(());
    };
    let mut report = Report::start();
    match folder {
        Some(folder) => {
            for file in trace::files(&folder)? {
                report.add(&Trace::read(&file)?);
            }
        }
        None => trace::generated()
            .iter()
            .for_each(|trace| report.add(trace)),
    }
    report.finish();
    Ok(())
}

/// `None` after `--help`; the inner `None` asks for generated workloads.
fn parse(mut arguments: Parser) -> Result<Option<Option<PathBuf>>, lexopt::Error> {
    let mut folder = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("traces") => folder = Some(arguments.value()?.parse()?),
            Arg::Short('h') | Arg::Long("help") => {
                print!("{HELP}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(folder))
}

/// Prints rows as they are computed and remembers what the last lines need.
struct Report {
    rows: usize,
    exact: f64,
    columns: [Column; SUBJECTS.len()],
}

#[derive(Clone, Default)]
struct Column {
    ratios: f64,
    worst: Option<(f64, String)>,
}

impl Report {
    fn start() -> Self {
        let mut head = String::from("| trace | requests | distinct | size | exact LRU |");
        let mut rule = String::from("|---|--:|--:|--:|--:|");
        for (name, _) in SUBJECTS {
            head.push_str(&format!(" {name} | − LRU |"));
            rule.push_str("--:|--:|");
        }
        println!("{head}\n{rule}");
        Self {
            rows: 0,
            exact: 0.0,
            columns: Default::default(),
        }
    }

    fn add(&mut self, trace: &Trace) {
        let distinct = trace.distinct();
        for share in SHARES {
            let size = ((distinct as f64 * share).round() as usize).max(1);
            eprintln!("{}: {size} entries", trace.name);
            let exact = exact_lru(&trace.requests, size);
            self.rows += 1;
            self.exact += exact;
            let requests = trace.requests.len();
            let mut line = format!(
                "| {} | {requests} | {distinct} | {size} | {exact:.2} |",
                trace.name
            );
            for (column, (_, replay)) in self.columns.iter_mut().zip(SUBJECTS) {
                let ratio = replay(&trace.requests, size);
                line.push_str(&format!(" {ratio:.2} | {:+.2} |", ratio - exact));
                column.add(ratio, ratio - exact, || format!("{} at {size}", trace.name));
            }
            println!("{line}");
        }
    }

    fn finish(&self) {
        let rows = self.rows as f64;
        let exact = self.exact / rows;
        let mut line = format!("| **mean** | | | | {exact:.2} |");
        for column in &self.columns {
            let mean = column.ratios / rows;
            line.push_str(&format!(" {mean:.2} | {:+.3} |", mean - exact));
        }
        println!("{line}\n\nFurthest below the exact LRU, in points:\n");
        for ((name, _), column) in SUBJECTS.iter().zip(&self.columns) {
            if let Some((difference, row)) = &column.worst {
                println!("- {name}: {difference:+.2} ({row})");
            }
        }
    }
}

impl Column {
    fn add(&mut self, ratio: f64, difference: f64, row: impl FnOnce() -> String) {
        self.ratios += ratio;
        if self
            .worst
            .as_ref()
            .is_none_or(|(worst, _)| difference < *worst)
        {
            self.worst = Some((difference, row()));
        }
    }
}

/// Hits in percent of a subject with its default settings.
fn replay<S: Subject<u64, u64>>(requests: &[u64], size: usize) -> f64 {
    let mut cache = S::fresh(size);
    percent_of_hits(requests, |&id| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.insert(id, id);
        }
        hit
    })
}

/// Hits in percent of one unsharded LRU list.
fn exact_lru(requests: &[u64], size: usize) -> f64 {
    let size = NonZeroUsize::new(size).expect("sizes are at least one");
    let mut cache = LruCache::with_hasher(size, RandomState::new());
    percent_of_hits(requests, |&id| {
        let hit = cache.get(&id).is_some();
        if !hit {
            cache.put(id, ());
        }
        hit
    })
}

fn percent_of_hits(requests: &[u64], request: impl FnMut(&u64) -> bool) -> f64 {
    let hits = requests.iter().map(request).filter(|&hit| hit).count();
    100.0 * hits as f64 / requests.len().max(1) as f64
}
