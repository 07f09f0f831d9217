//! Single-threaded throughput under criterion: hit, get_many, insert and churn for every subject.
//!
//! `cargo bench -p nori-cache-benches -- hit-10k` runs one group. The `report` binary is the one that interleaves
//! subjects and runs threads; this one is for a look at one change.

#![forbid(unsafe_code)]

use std::{marker::PhantomData, time::Duration};

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use nori_cache_benches::{
    Key, Profile, Subject, Value,
    runner::{
        cell, contender,
        scenario::{self, Action, BATCH, Kind, Scenario},
    },
    subjects::{self, Visitor},
};

/// The workloads of the `report` binary that run here.
const GROUPS: [&str; 5] = ["hit-10k", "hit-1m", "get-many", "insert", "churn"];

/// Requests per iteration.
const REQUESTS: usize = 10 * BATCH;

struct Group<'a, 'c, K, V> {
    group: &'a mut BenchmarkGroup<'c, WallTime>,
    scenario: &'a Scenario,
    action: Action,
    keys: &'a [K],
    value: PhantomData<fn() -> V>,
}

impl<K: Key, V: Value> Visitor<K, V> for Group<'_, '_, K, V> {
    fn visit<S: Subject<K, V>>(&mut self) {
        if self.scenario.needs_eviction() && !S::EVICTS {
            return;
        }
        // Filled when criterion gets there, so that a filter on the command line skips it.
        let mut filled: Option<S> = None;
        let mut start = 0;
        self.group.bench_function(S::NAME, |bencher| {
            let subject = filled
                .get_or_insert_with(|| contender::filled::<K, V, S>(self.scenario, self.keys));
            bencher.iter(|| {
                cell::walk::<K, V, S>(subject, self.action, self.keys, start, REQUESTS);
                start += REQUESTS;
            });
        });
    }
}

fn throughput(criterion: &mut Criterion) {
    for scenario in scenario::ALL.iter().filter(|s| GROUPS.contains(&s.name)) {
        let Kind::Throughput(action) = scenario.kind else {
            continue;
        };
        let keys = scenario.keys::<String>();
        let mut group = criterion.benchmark_group(scenario.name);
        group.throughput(Throughput::Elements(REQUESTS as u64));
        subjects::for_each::<String, Profile>(&mut Group {
            group: &mut group,
            scenario,
            action,
            keys: &keys,
            value: PhantomData,
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = throughput
}
criterion_main!(benches);
