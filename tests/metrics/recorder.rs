//! A recorder that keeps all it is told.

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use nori_cache::metrics::Kind;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// A name, and each label with its value.
pub type Series = (String, Vec<(String, String)>);

#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    Counter(u64),
    Gauge(f64),
    /// Values, and how many there were of each.
    Histogram(Vec<(f64, usize)>),
}

impl Number {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
        }
    }
}

type Descriptions = BTreeMap<String, (Kind, Option<Unit>, String)>;

#[derive(Default)]
pub struct Kept {
    numbers: Arc<Mutex<BTreeMap<Series, Number>>>,
    descriptions: Mutex<Descriptions>,
}

impl Kept {
    /// Runs `publish` with this as its recorder.
    pub fn during<R>(&self, publish: impl FnOnce() -> R) -> R {
        metrics::with_local_recorder(self, publish)
    }

    pub fn numbers(&self) -> BTreeMap<Series, Number> {
        self.numbers.lock().unwrap().clone()
    }

    pub fn descriptions(&self) -> Descriptions {
        self.descriptions.lock().unwrap().clone()
    }

    /// The number of one series; `labels` are as `cache=users,outcome=hit`.
    #[track_caller]
    pub fn number(&self, name: &str, labels: &str) -> Number {
        let labels = labels.split(',').map(|label| {
            let (label, value) = label.split_once('=').expect("a label");
            (label.to_owned(), value.to_owned())
        });
        let series = (name.to_owned(), labels.collect());
        let numbers = self.numbers();
        match numbers.get(&series) {
            Some(number) => number.clone(),
            None => panic!("no {series:?} in {numbers:#?}"),
        }
    }

    #[track_caller]
    pub fn count(&self, name: &str, labels: &str) -> u64 {
        match self.number(name, labels) {
            Number::Counter(count) => count,
            other => panic!("{name} is {other:?}"),
        }
    }

    fn described(&self, kind: Kind, name: KeyName, unit: Option<Unit>, text: SharedString) {
        let mut descriptions = self.descriptions.lock().unwrap();
        let description = (kind, unit, text.into_owned());
        descriptions.insert(name.as_str().to_owned(), description);
    }

    fn register(&self, key: &Key, number: Number) -> Arc<Handle> {
        let labels = key.labels();
        let labels = labels.map(|label| (label.key().to_owned(), label.value().to_owned()));
        let series = (key.name().to_owned(), labels.collect());
        let mut numbers = self.numbers.lock().unwrap();
        numbers.entry(series.clone()).or_insert(number);
        Arc::new(Handle {
            numbers: Arc::clone(&self.numbers),
            series,
        })
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.described(Kind::Counter, name, unit, text);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.described(Kind::Gauge, name, unit, text);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, text: SharedString) {
        self.described(Kind::Histogram, name, unit, text);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.register(key, Number::Counter(0)))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.register(key, Number::Gauge(0.0)))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.register(key, Number::Histogram(Vec::new())))
    }
}

struct Handle {
    numbers: Arc<Mutex<BTreeMap<Series, Number>>>,
    series: Series,
}

impl Handle {
    fn change(&self, change: impl FnOnce(&mut Number)) {
        let mut numbers = self.numbers.lock().unwrap();
        change(numbers.get_mut(&self.series).expect("it is registered"));
    }
}

impl CounterFn for Handle {
    fn increment(&self, by: u64) {
        self.change(|number| match number {
            Number::Counter(count) => *count += by,
            other => panic!("{:?} is {other:?}", self.series),
        });
    }
    fn absolute(&self, _: u64) {
        panic!("not every recorder can do that");
    }
}

impl GaugeFn for Handle {
    fn increment(&self, _: f64) {
        panic!("gauges are set");
    }
    fn decrement(&self, _: f64) {
        panic!("gauges are set");
    }
    fn set(&self, value: f64) {
        self.change(|number| *number = Number::Gauge(value));
    }
}

impl HistogramFn for Handle {
    fn record(&self, value: f64) {
        self.record_many(value, 1);
    }
    fn record_many(&self, value: f64, count: usize) {
        self.change(|number| match number {
            Number::Histogram(values) => values.push((value, count)),
            other => panic!("{:?} is {other:?}", self.series),
        });
    }
}
