//! The page and the dashboard name what is published.

use nori_cache::metrics::{Kind, METRICS, Metric};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(path).unwrap()
}

/// A metric's row in the page's table.
fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        _ => unreachable!("there are three"),
    };
    let unit = match metric.unit {
        metrics::Unit::Seconds => "s",
        metrics::Unit::Bytes => "bytes",
        _ => "",
    };
    let labels: Vec<String> = metric
        .labels
        .iter()
        .map(|label| format!("`{label}`"))
        .collect();
    let (name, labels) = (metric.name, labels.join(", "));
    format!(
        "| `{name}` | {kind} | {unit} | {labels} | {} |",
        metric.description
    )
}

#[test]
fn the_page_has_all_metrics_as_they_are_described() {
    let page = read("watching.md");
    let there = page
        .lines()
        .filter(|line| line.starts_with("| `nori_cache_"));
    let there: Vec<&str> = there.collect();
    let want: Vec<String> = METRICS.iter().map(row).collect();
    assert_eq!(there, want);
}

/// All texts under this name, however deep.
fn texts<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Value::String(text) if field == name => found.push(text),
                    other => texts(other, name, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, name, found)),
        _ => (),
    }
}

fn is_of_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '_'
}

/// Where each name of a metric of ours is in an expression.
fn names(expression: &str) -> Vec<(usize, &str)> {
    let starts = expression.match_indices("nori_cache_").map(|(at, _)| at);
    let names = starts.map(|at| {
        let rest = &expression[at..];
        let end = rest.find(|char| !is_of_name(char)).unwrap_or(rest.len());
        (at, &rest[..end])
    });
    names.collect()
}

/// The labels that an expression groups by or chooses with.
fn labels(expression: &str) -> Vec<&str> {
    let mut labels = Vec::new();
    for part in expression.split("by (").skip(1) {
        let list = part.split(')').next().unwrap_or_default();
        labels.extend(list.split(',').map(str::trim));
    }
    for part in expression.split('{').skip(1) {
        let matchers = part.split('}').next().unwrap_or_default();
        // Every other piece is a value.
        for piece in matchers.split('"').step_by(2) {
            let label = piece.trim_matches(|char: char| !is_of_name(char));
            labels.extend((!label.is_empty()).then_some(label));
        }
    }
    labels
}

/// What is wrong with an expression.
fn faults(expression: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let names = names(expression);
    if names.is_empty() {
        faults.push(format!("no metric of ours in {expression}"));
    }
    for (at, name) in names {
        let parts = ["_bucket", "_sum", "_count"];
        let part = parts
            .iter()
            .find_map(|part| Some((name.strip_suffix(part)?, *part)));
        let found = METRICS.iter().find_map(|metric| match metric.kind {
            Kind::Histogram => {
                let (base, part) = part?;
                (base == metric.name).then_some((metric, part))
            }
            _ => (name == metric.name).then_some((metric, "")),
        });
        let Some((metric, part)) = found else {
            faults.push(format!("there is no {name}"));
            continue;
        };
        known.extend(metric.labels);
        if part == "_bucket" {
            known.insert("le");
        }
        let before = &expression[..at];
        let is_rate = ["rate(", "increase("].iter().any(|it| before.ends_with(it));
        if is_rate != (metric.kind != Kind::Gauge) {
            faults.push(format!("{name} is a {:?}", metric.kind));
        }
    }
    let unknown = labels(expression)
        .into_iter()
        .filter(|it| !known.contains(it));
    faults.extend(unknown.map(|label| format!("no label {label} in {expression}")));
    faults
}

#[test]
fn the_dashboard_asks_for_what_is_published_and_for_all_of_it() {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    let mut expressions = Vec::new();
    texts(&dashboard, "expr", &mut expressions);
    assert!(expressions.len() >= METRICS.len());
    let mut used = BTreeSet::new();
    for expression in &expressions {
        assert_eq!(faults(expression), Vec::<String>::new(), "{expression}");
        let balance = |open, close| {
            let count = |it: char| expression.matches(it).count();
            count(open) == count(close)
        };
        assert!(balance('(', ')') && balance('{', '}'), "{expression}");
        used.extend(names(expression).into_iter().map(|(_, name)| name));
    }
    let is_used = |metric: &&Metric| used.iter().any(|name| name.starts_with(metric.name));
    let unused: Vec<&str> = METRICS
        .iter()
        .filter(|metric| !is_used(metric))
        .map(|metric| metric.name)
        .collect();
    assert_eq!(unused, Vec::<&str>::new());
}

#[test]
fn the_dashboard_is_whole() {
    let dashboard: Value = serde_json::from_str(&read("grafana.json")).unwrap();
    // 1. Its variables are there, and the list of caches is made of metrics that are.
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let defined: BTreeSet<&str> = variables
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    let (mut expressions, mut sources, mut lists) = (Vec::new(), Vec::new(), Vec::new());
    texts(&dashboard, "expr", &mut expressions);
    texts(&dashboard, "uid", &mut sources);
    for text in expressions.iter().chain(&sources) {
        for used in text.split('$').skip(1) {
            let used = used.trim_start_matches('{');
            let end = used.find(|char| !is_of_name(char)).unwrap_or(used.len());
            let own = used[..end].starts_with("__");
            assert!(own || defined.contains(&used[..end]), "{text}");
        }
    }
    texts(&dashboard["templating"], "query", &mut lists);
    for (_, name) in lists.iter().flat_map(|list| names(list)) {
        assert!(METRICS.iter().any(|metric| metric.name == name), "{name}");
    }
    // 2. Its panels say what they show, and do not lie on each other.
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut places: Vec<[u64; 4]> = Vec::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        if panel["type"] != "row" {
            assert!(
                panel["description"]
                    .as_str()
                    .is_some_and(|it| it.ends_with('.')),
                "{panel}"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{panel}"
            );
        }
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|it| panel["gridPos"][it].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        let apart = |[ox, oy, ow, oh]: &[u64; 4]| {
            x + w <= *ox || ox + ow <= x || y + h <= *oy || oy + oh <= y
        };
        assert!(places.iter().all(apart), "{panel}");
        places.push([x, y, w, h]);
    }
}

#[test]
fn faults_of_a_dashboard_are_found() {
    for (expression, why) in [
        ("rate(nori_cache_loads[5m])", "there is no nori_cache_loads"),
        ("sum(nori_cache_loads_total)", "is a Counter"),
        ("rate(nori_cache_entries[5m])", "is a Gauge"),
        ("rate(nori_cache_load_duration_seconds[5m])", "there is no"),
        ("rate(nori_cache_loads_total_sum[5m])", "there is no"),
        (
            "sum by (key) (rate(nori_cache_loads_total[5m]))",
            "no label key",
        ),
        (
            "rate(nori_cache_loads_total{error=\"x\"}[5m])",
            "no label error",
        ),
        (
            "sum by (le) (rate(nori_cache_load_duration_seconds_sum[5m]))",
            "no label le",
        ),
        ("rate(http_requests_total[5m])", "no metric of ours"),
    ] {
        let found = faults(expression);
        assert!(
            found.iter().any(|fault| fault.contains(why)),
            "{expression}: {found:?}"
        );
    }
    let sound =
        "sum by (cache, le) (rate(nori_cache_load_duration_seconds_bucket{cache=~\"a, b\"}[5m]))";
    assert_eq!(faults(sound), Vec::<String>::new());
}
