//! The report as JSON, every sample included. All strings are our own plain ASCII names, so nothing needs escaping.

use hdrhistogram::Histogram;

use super::{
    cell::Sample,
    memory::Footprint,
    round::{Outcome, Plan, Series},
    scenario::Scenario,
};

/// One workload as an object.
pub fn object(scenario: &Scenario, plan: &Plan, outcome: &Outcome) -> String {
    let rows: Vec<String> = match outcome {
        Outcome::Throughput(series) => series.iter().flat_map(|row| rates(plan, row)).collect(),
        Outcome::Latency(series) => series.iter().map(latencies).collect(),
        Outcome::Memory(footprints) => footprints.iter().map(footprint).collect(),
    };
    format!(
        "{{\"workload\":\"{}\",\"rounds\":{},\"millis\":{},\"rows\":[\n  {}\n]}}",
        scenario.name,
        plan.rounds,
        plan.time.as_millis(),
        rows.join(",\n  "),
    )
}

/// One row per number of threads.
fn rates<'a>(plan: &'a Plan, row: &'a Series<Sample>) -> impl Iterator<Item = String> + 'a {
    plan.threads.iter().zip(&row.samples).map(|(threads, samples)| {
        let rates = list(samples.iter().map(|sample| Some(sample.rate)));
        let hits = list(samples.iter().map(|sample| sample.hit_ratio));
        format!(
            "{{\"subject\":\"{}\",\"threads\":{threads},\"ops_per_second\":{rates},\"hit_ratio\":{hits}}}",
            row.subject
        )
    })
}

fn latencies(row: &Series<Histogram<u64>>) -> String {
    let rounds = &row.samples[0];
    let at = |quantile: f64| {
        let values = rounds
            .iter()
            .map(|round| round.value_at_quantile(quantile) as f64);
        list(values.map(Some))
    };
    format!(
        "{{\"subject\":\"{}\",\"p50\":{},\"p99\":{},\"p999\":{},\"p9999\":{},\"max\":{}}}",
        row.subject,
        at(0.5),
        at(0.99),
        at(0.999),
        at(0.9999),
        at(1.0),
    )
}

fn footprint(row: &Footprint) -> String {
    let per_eviction = optional(row.per_eviction);
    format!(
        "{{\"subject\":\"{}\",\"held\":{},\"bytes_per_entry\":{},\"allocs_per_hit\":{},\
         \"allocs_per_insert_filling\":{},\"allocs_per_insert_evicting\":{per_eviction}}}",
        row.subject, row.held, row.bytes_per_entry, row.per_hit, row.per_fill,
    )
}

fn list(values: impl Iterator<Item = Option<f64>>) -> String {
    let values: Vec<String> = values.map(optional).collect();
    format!("[{}]", values.join(","))
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}
