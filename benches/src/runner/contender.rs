//! Subjects of different types in one list.

use std::{marker::PhantomData, time::Duration};

use hdrhistogram::Histogram;

use super::{
    cell::{self, Sample},
    latency,
    scenario::{Action, Kind, Requests, Scenario},
};
use crate::{
    Key, Subject, Value,
    subjects::{self, Visitor},
    timer::Timer,
};

/// A filled subject. One dynamic call is made per cell, none inside the measured loops.
pub trait Contender<K> {
    /// The subject's name.
    fn name(&self) -> &'static str;

    /// Measures throughput; `None` if the subject cannot run on that many threads.
    fn throughput(
        &mut self,
        action: Action,
        keys: &[K],
        threads: usize,
        time: Duration,
    ) -> Option<Sample>;

    /// Measures the latency of `get` beside a churning thread; `None` if the subject is bound to one thread.
    fn latency(&mut self, keys: &[K], timer: Timer, time: Duration) -> Option<Histogram<u64>>;
}

struct Filled<S, V> {
    subject: S,
    /// Where the next cell starts in the request array.
    start: usize,
    value: PhantomData<fn() -> V>,
}

impl<K: Key, V: Value, S: Subject<K, V>> Contender<K> for Filled<S, V> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn throughput(
        &mut self,
        action: Action,
        keys: &[K],
        threads: usize,
        time: Duration,
    ) -> Option<Sample> {
        let sample =
            cell::run::<K, V, S>(&mut self.subject, action, keys, self.start, threads, time)?;
        // Go on about where the threads stopped, so that new keys stay new.
        self.start += (sample.rate * time.as_secs_f64()) as usize / threads;
        Some(sample)
    }

    fn latency(&mut self, keys: &[K], timer: Timer, time: Duration) -> Option<Histogram<u64>> {
        latency::run::<K, V, S>(&mut self.subject, keys, timer, time)
    }
}

/// Fills a cache of each chosen subject for `scenario`; subjects that do not fit the scenario are left out.
pub fn fill<K: Key, V: Value>(
    scenario: &Scenario,
    keys: &[K],
    chosen: &[String],
) -> Vec<Box<dyn Contender<K>>> {
    struct Fill<'a, K, V> {
        scenario: &'a Scenario,
        keys: &'a [K],
        chosen: &'a [String],
        filled: Vec<Box<dyn Contender<K>>>,
        value: PhantomData<fn() -> V>,
    }
    impl<K: Key, V: Value> Visitor<K, V> for Fill<'_, K, V> {
        fn visit<S: Subject<K, V>>(&mut self) {
            let fits = S::EVICTS || !self.scenario.needs_eviction();
            if fits && self.chosen.iter().any(|name| name == S::NAME) {
                eprintln!("{}: filling {}", self.scenario.name, S::NAME);
                self.filled.push(Box::new(Filled {
                    subject: filled::<K, V, S>(self.scenario, self.keys),
                    start: 0,
                    value: PhantomData::<fn() -> V>,
                }));
            }
        }
    }
    let mut fill = Fill {
        scenario,
        keys,
        chosen,
        filled: Vec::new(),
        value: PhantomData::<fn() -> V>,
    };
    subjects::for_each::<K, V>(&mut fill);
    fill.filled
}

/// A subject that holds the scenario's entries and, if it evicts, has seen enough requests to be in its steady state.
pub fn filled<K: Key, V: Value, S: Subject<K, V>>(scenario: &Scenario, keys: &[K]) -> S {
    let mut subject = S::fresh(scenario.capacity);
    for id in 0..scenario.capacity as u64 {
        subject.insert(K::from_id(id), V::from_id(id));
    }
    if let Requests::OneKey = scenario.requests {
        // Some caches lose a few keys while they are filled; this one has to be there.
        subject.insert(keys[0].clone(), V::from_id(0));
    }
    subject.settle();
    let steady = 10 * scenario.capacity;
    match scenario.kind {
        Kind::Throughput(action) if scenario.needs_eviction() => {
            cell::walk(&mut subject, action, keys, 0, steady);
        }
        Kind::Latency => cell::walk(&mut subject, Action::GetOrInsert, keys, 0, steady),
        Kind::Throughput(_) | Kind::Memory => {}
    }
    subject
}
