//! Hit ratios of ours, under both policies, and of rivals beside an exact LRU, on recorded or generated request sequences.
//!
//! `hit_ratio [--traces DIR] [--svg FILE]`

#![forbid(unsafe_code)]

use std::{
    error::Error,
    num::NonZeroUsize,
    path::{Path, PathBuf},
};

use ahash::RandomState;
use lexopt::{Arg, Parser, ValueExt};
use lru::LruCache;
use nori_cache_benches::{
    Subject,
    runner::curves::{Panel, draw_panels},
    subjects::{Foyer, Moka, NoriCache, QuickCache, S3Fifo, TinyUfo},
    trace::{self, Trace},
};

const HELP: &str = "\
hit_ratio: hit ratios beside an exact LRU (get, insert on a miss, one thread)

  --traces DIR   a folder of NAME.u64.zst files; without it workloads are generated
  --svg FILE     a picture of it, too
";

/// Cache sizes as shares of a trace's distinct keys.
const SHARES: [f64; 3] = [0.005, 0.05, 0.2];

/// Replays requests against a cache of a size and returns the hits in percent.
type Replay = fn(&[u64], usize) -> f64;

/// Columns after the exact LRU.
const SUBJECTS: [(&str, Replay); 6] = [
    of::<NoriCache<u64, u64>>(),
    of::<NoriCache<u64, u64, true, false, true>>(),
    of::<Moka<u64, u64>>(),
    of::<QuickCache<u64, u64>>(),
    of::<Foyer<u64, u64, S3Fifo>>(),
    of::<TinyUfo<u64, u64>>(),
];

const fn of<S: Subject<u64, u64>>() -> (&'static str, Replay) {
    (S::NAME, replay::<S>)
}

/// The name of the first column.
const EXACT: &str = "exact LRU";
/// Panels beside each other.
const PANELS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let Some(task) = parse(Parser::from_env())? else {
        return Ok(());
    };
    let mut report = Report::start();
    match task.traces {
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
    task.svg.map_or(Ok(()), |file| report.draw(&file))
}

/// What the arguments ask for.
#[derive(Default)]
struct Task {
    /// Without it workloads are generated.
    traces: Option<PathBuf>,
    svg: Option<PathBuf>,
}

/// `None` after `--help`.
fn parse(mut arguments: Parser) -> Result<Option<Task>, lexopt::Error> {
    let mut task = Task::default();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("traces") => task.traces = Some(arguments.value()?.parse()?),
            Arg::Long("svg") => task.svg = Some(arguments.value()?.parse()?),
            Arg::Short('h') | Arg::Long("help") => {
                print!("{HELP}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(Some(task))
}

/// Prints rows as they are computed and remembers what the last lines need.
struct Report {
    rows: usize,
    exact: f64,
    columns: [Column; SUBJECTS.len()],
    /// For each trace, the ratios of the exact LRU and of the subjects at each size.
    traces: Vec<(String, [[f64; SHARES.len()]; SUBJECTS.len() + 1])>,
}

#[derive(Clone, Default)]
struct Column {
    ratios: f64,
    worst: Option<(f64, String)>,
}

impl Report {
    fn start() -> Self {
        let mut head = format!("| trace | requests | distinct | size | {EXACT} |");
        let mut rule = String::from("|---|--:|--:|--:|--:|");
        for (name, _) in SUBJECTS {
            head.push_str(&format!(" {name} |"));
            rule.push_str("--:|");
        }
        println!("{head}\n{rule}");
        Self {
            rows: 0,
            exact: 0.0,
            columns: Default::default(),
            traces: Vec::new(),
        }
    }

    fn add(&mut self, trace: &Trace) {
        let distinct = trace.distinct();
        let mut ratios = [[0.0; SHARES.len()]; SUBJECTS.len() + 1];
        for (nth, share) in SHARES.into_iter().enumerate() {
            let size = ((distinct as f64 * share).round() as usize).max(1);
            eprintln!("{}: {size} entries", trace.name);
            let exact = exact_lru(&trace.requests, size);
            self.rows += 1;
            self.exact += exact;
            ratios[0][nth] = exact;
            let requests = trace.requests.len();
            let mut line = format!(
                "| {} | {requests} | {distinct} | {size} | {exact:.2} |",
                trace.name
            );
            let columns = self.columns.iter_mut().zip(SUBJECTS);
            for ((column, (_, replay)), ratios) in columns.zip(&mut ratios[1..]) {
                let ratio = replay(&trace.requests, size);
                ratios[nth] = ratio;
                line.push_str(&format!(" {ratio:.2} |"));
                column.add(ratio, ratio - exact, || format!("{} at {size}", trace.name));
            }
            println!("{line}");
        }
        self.traces.push((trace.name.clone(), ratios));
    }

    /// Draws a panel for each trace: the ratios over the sizes.
    fn draw(&self, file: &Path) -> Result<(), Box<dyn Error>> {
        let most = SHARES.len() as f64 - 1.0;
        let label = |at: f64| {
            let share = (at.fract() == 0.0).then(|| SHARES.get(at as usize));
            share
                .flatten()
                .map_or_else(String::new, |share| format!("{} %", share * 100.0))
        };
        let names = [EXACT].into_iter().chain(SUBJECTS.map(|it| it.0));
        let panels: Vec<Panel<'_>> = self
            .traces
            .iter()
            .map(|(trace, ratios)| Panel {
                title: trace,
                axes: ("size, of the distinct keys", "hits in per cent"),
                along: (most, &label),
                curves: names
                    .clone()
                    .zip(ratios)
                    .map(|(name, ratios)| {
                        let points = ratios.iter().enumerate();
                        (
                            name,
                            points.map(|(at, ratio)| (at as f64, *ratio)).collect(),
                        )
                    })
                    .collect(),
            })
            .collect();
        draw_panels(file, PANELS, &panels)
    }

    fn finish(&self) {
        let rows = self.rows as f64;
        let exact = self.exact / rows;
        let mut line = format!("| **mean** | | | | {exact:.2} |");
        for column in &self.columns {
            let mean = column.ratios / rows;
            line.push_str(&format!(" {mean:.2} |"));
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
