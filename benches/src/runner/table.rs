//! The report as markdown.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

use super::{
    cell::Sample,
    memory::Footprint,
    round::{Outcome, Plan, Series},
    scenario::Scenario,
    stats::median,
};
use crate::subjects::{FLOOR, OURS};

/// One workload under its heading.
pub fn markdown(scenario: &Scenario, plan: &Plan, outcome: &Outcome) -> String {
    let table = match outcome {
        Outcome::Throughput(series) => throughput(plan, series),
        Outcome::Latency(series) => latency(series),
        Outcome::Memory(footprints) => memory(footprints),
    };
    format!("### {}: {}\n\n{table}", scenario.name, scenario.title)
}

/// Per number of threads: the median rate in millions a second, ours over it, what it pays over the floor (its time for one
/// operation over hashbrown's) or over its own first column, and its hits.
fn throughput(plan: &Plan, series: &[Series<Sample>]) -> String {
    let mut head = String::from("| subject |");
    let mut rule = String::from("|---|");
    for (column, threads) in plan.threads.iter().enumerate() {
        let third = match column {
            0 if *threads == 1 => "time / hashbrown".to_owned(),
            0 => "-".to_owned(),
            _ => format!("× its {} thr.", plan.threads[0]),
        };
        write!(
            head,
            " Mops/s, {threads} thr. | ours / it | {third} | hits |"
        )
        .expect(INTO_STRING);
        rule.push_str("--:|--:|--:|--:|");
    }
    let mut table = format!("{head}\n{rule}\n");
    for row in series {
        write!(table, "| {} |", row.subject).expect(INTO_STRING);
        for (column, threads) in plan.threads.iter().enumerate() {
            let rate = rate_of(row, column);
            let third = match column {
                0 if *threads == 1 => number(rate_named(series, FLOOR, 0) / rate, 2),
                0 => "–".to_owned(),
                _ => number(rate / rate_of(row, 0), 2),
            };
            let ratio = number(rate_named(series, OURS, column) / rate, 2);
            let hits = median(row.samples[column].iter().filter_map(|s| s.hit_ratio)) * 100.0;
            let hits = percent(hits);
            write!(
                table,
                " {} | {ratio} | {third} | {hits} |",
                number(rate / 1e6, 2)
            )
            .expect(INTO_STRING);
        }
        table.push('\n');
    }
    table
}

/// The median over the rounds of each percentile and of the maximum, and the largest value of all rounds.
fn latency(series: &[Series<Histogram<u64>>]) -> String {
    let mut table = String::from(
        "| subject | p50 | p99 | p99.9 | p99.99 | max, median of rounds | max of all | samples |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for row in series {
        let rounds = &row.samples[0];
        write!(table, "| {} |", row.subject).expect(INTO_STRING);
        for quantile in [0.5, 0.99, 0.999, 0.9999] {
            let values = rounds
                .iter()
                .map(|round| round.value_at_quantile(quantile) as f64);
            write!(table, " {} |", number(median(values), 0)).expect(INTO_STRING);
        }
        let usual = median(rounds.iter().map(|round| round.max() as f64));
        let worst = rounds.iter().map(Histogram::max).max().unwrap_or(0);
        let samples: u64 = rounds.iter().map(Histogram::len).sum();
        writeln!(table, " {} | {worst} | {samples} |", number(usual, 0)).expect(INTO_STRING);
    }
    table
}

fn memory(footprints: &[Footprint]) -> String {
    let mut table = String::from(
        "| subject | entries held | bytes / entry | allocs / hit | allocs / insert, filling | allocs / insert, evicting |\n\
         |---|--:|--:|--:|--:|--:|\n",
    );
    for row in footprints {
        let evicting = number(row.per_eviction.unwrap_or(f64::NAN), 3);
        writeln!(
            table,
            "| {} | {} | {:.1} | {:.3} | {:.3} | {evicting} |",
            row.subject, row.held, row.bytes_per_entry, row.per_hit, row.per_fill,
        )
        .expect(INTO_STRING);
    }
    table
}

const INTO_STRING: &str = "writing to a String cannot fail";

/// The median rate of a row; NaN where it did not run.
pub(super) fn rate_of(row: &Series<Sample>, column: usize) -> f64 {
    median(row.samples[column].iter().map(|sample| sample.rate))
}

fn rate_named(series: &[Series<Sample>], name: &str, column: usize) -> f64 {
    series
        .iter()
        .find(|row| row.subject == name)
        .map_or(f64::NAN, |row| rate_of(row, column))
}

fn number(value: f64, digits: usize) -> String {
    if value.is_finite() {
        format!("{value:.digits$}")
    } else {
        "–".to_owned()
    }
}

fn percent(value: f64) -> String {
    if value.is_finite() {
        format!("{value:.1} %")
    } else {
        "–".to_owned()
    }
}
