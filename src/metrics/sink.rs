//! [`Sink`]: recording, with the labels that a metric has.

use super::names::{Kind, Metric};
use crate::histogram::Histogram;
use ::metrics::{Key, Label, Level, Metadata, Recorder, SharedString};

const METADATA: Metadata<'static> = Metadata::new("nori_cache", Level::INFO, Some("nori_cache"));

/// The ends of the classes that durations are counted in, in seconds: the buckets for exporters that want to be told. With others,
/// quantiles are less exact than they could be.
pub const BUCKETS: [f64; 12] = [
    0.000_001, 0.000_004, 0.000_016, 0.000_064, 0.000_256, 0.001_024, 0.004_096, 0.016_384,
    0.065_536, 0.262_144, 1.048_576, 4.194_304,
];

/// Where the numbers of one cache go.
pub(super) struct Sink<'a> {
    recorder: &'a dyn Recorder,
    cache: &'a SharedString,
}

impl<'a> Sink<'a> {
    pub(super) fn new(recorder: &'a dyn Recorder, cache: &'a SharedString) -> Self {
        Self { recorder, cache }
    }

    /// Adds to a counter, which is there from then on, if only as 0.
    pub(super) fn count<const N: usize>(&self, metric: &Metric, labels: [&str; N], by: u64) {
        debug_assert_eq!(metric.kind, Kind::Counter, "{}", metric.name);
        let key = self.key(metric, labels);
        let counter = self.recorder.register_counter(&key, &METADATA);
        counter.increment(by);
    }

    pub(super) fn set<const N: usize>(&self, metric: &Metric, labels: [&str; N], value: u64) {
        debug_assert_eq!(metric.kind, Kind::Gauge, "{}", metric.name);
        let key = self.key(metric, labels);
        let gauge = self.recorder.register_gauge(&key, &METADATA);
        gauge.set(value as f64);
    }

    pub(super) fn record<const N: usize>(
        &self,
        metric: &Metric,
        labels: [&str; N],
        took: &Histogram,
    ) {
        debug_assert_eq!(metric.kind, Kind::Histogram, "{}", metric.name);
        let key = self.key(metric, labels);
        let histogram = self.recorder.register_histogram(&key, &METADATA);
        for (value, count) in points(took) {
            histogram.record_many(value, count);
        }
    }

    fn key<const N: usize>(&self, metric: &Metric, values: [&str; N]) -> Key {
        debug_assert_eq!(metric.labels.len(), N + 1, "{}", metric.name);
        let cache = [Label::new("cache", self.cache.clone())];
        let names = metric.labels.iter().skip(1);
        let labels = names
            .zip(values)
            .map(|(name, value)| Label::new(*name, value.to_owned()));
        let labels: Vec<Label> = cache.into_iter().chain(labels).collect();
        Key::from_parts(metric.name, labels)
    }
}

/// What to record for what was counted in classes: a point in each, with how many are there. All points are equally far into
/// their classes, and so far that the sum of all is what they took together. So an exporter's sums are exact, and its
/// buckets, if they are [`BUCKETS`], as well.
fn points(took: &Histogram) -> Vec<(f64, usize)> {
    /// Buckets end with their last point; at the very beginning of a class a point would be in the one before.
    const LEAST: f64 = 1e-6;
    struct Class {
        begin: f64,
        width: f64,
        count: f64,
    }
    let mut classes = Vec::new();
    let mut begin = 0.0;
    for (nth, (_, count)) in took.classes().enumerate() {
        // The last class has no end; it is taken to be as much wider as all are.
        let end = BUCKETS.get(nth).copied().unwrap_or(4.0 * begin);
        if count > 0 {
            let (width, count) = (end - begin, count as f64);
            classes.push(Class {
                begin,
                width,
                count,
            });
        }
        begin = end;
    }
    let total = took.total().as_secs_f64();
    let least: f64 = classes.iter().map(|it| it.begin * it.count).sum();
    let widths: f64 = classes.iter().map(|it| it.width * it.count).sum();
    let part = ((total - least) / widths).clamp(LEAST, 1.0);
    let mut points: Vec<(f64, usize)> = classes
        .iter()
        .map(|it| (it.begin + part * it.width, it.count as usize))
        .collect();
    // What took longer than the last class is wide.
    let beyond = total - least - widths;
    let is_last = |it: &&Class| it.begin >= BUCKETS[BUCKETS.len() - 1];
    if let (Some(point), Some(last)) = (points.last_mut(), classes.last().filter(is_last))
        && beyond > 0.0
    {
        point.0 += beyond / last.count;
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn buckets_are_the_classes() {
        let ends: Vec<f64> = Histogram::default()
            .classes()
            .map(|(end, _)| end.as_secs_f64())
            .collect();
        assert_eq!(ends[..BUCKETS.len()], BUCKETS);
        assert_eq!(ends.len(), BUCKETS.len() + 1);
    }

    #[test]
    fn what_is_recorded_has_the_same_sum_and_is_in_the_same_classes() {
        let micros = Duration::from_micros;
        for times in [
            vec![],
            vec![micros(0)],
            vec![micros(1)],
            vec![micros(3); 1000],
            vec![micros(1), micros(5), micros(20), micros(1_000_000)],
            vec![Duration::from_secs(5), micros(7)],
            vec![
                Duration::from_secs(3600),
                Duration::from_secs(60),
                micros(2),
            ],
            (1..2000).map(|n| micros(n * n)).collect(),
        ] {
            let mut took = Histogram::default();
            times.iter().for_each(|time| took.record(*time));
            let points = points(&took);
            let sum: f64 = points
                .iter()
                .map(|(value, count)| value * *count as f64)
                .sum();
            let total = took.total().as_secs_f64();
            assert!(
                (sum - total).abs() <= total * 1e-5 + 1e-9,
                "{sum}, not {total}"
            );
            let mut counts = [0; BUCKETS.len() + 1];
            for (value, count) in points {
                // As Prometheus does: a bucket ends with its bound.
                counts[BUCKETS.iter().filter(|bound| value > **bound).count()] += count as u64;
            }
            let want: Vec<u64> = took.classes().map(|(_, count)| count).collect();
            assert_eq!(counts[..], want);
        }
    }
}
