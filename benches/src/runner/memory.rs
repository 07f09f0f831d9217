//! Bytes per entry and allocations per operation, by the counting allocator.

use std::{hint::black_box, marker::PhantomData};

use super::scenario::Scenario;
use crate::{
    Key, Subject, Value,
    alloc_counter::{Counts, count},
    subjects::{self, Visitor},
};

/// What one subject takes.
#[derive(Clone, Copy, Debug)]
pub struct Footprint {
    /// The subject's name.
    pub subject: &'static str,
    /// How many of the stored entries can be read back.
    pub held: u64,
    /// Requested bytes of the filled cache over `held`: keys, values and everything around them.
    pub bytes_per_entry: f64,
    /// Allocations per hit.
    pub per_hit: f64,
    /// Allocations per insert while filling, growth and what the entry itself needs included.
    pub per_fill: f64,
    /// Allocations per insert into the full cache, what the entry itself needs included; `None` if it never evicts.
    pub per_eviction: Option<f64>,
}

/// Measures each chosen subject.
pub fn run<K: Key, V: Value>(scenario: &Scenario, chosen: &[String]) -> Vec<Footprint> {
    struct Measure<'a, K, V> {
        scenario: &'a Scenario,
        chosen: &'a [String],
        footprints: Vec<Footprint>,
        entry: PhantomData<fn() -> (K, V)>,
    }
    impl<K: Key, V: Value> Visitor<K, V> for Measure<'_, K, V> {
        fn visit<S: Subject<K, V>>(&mut self) {
            if self.chosen.iter().any(|name| name == S::NAME) {
                eprintln!("{}: measuring {}", self.scenario.name, S::NAME);
                self.footprints.push(footprint::<K, V, S>(self.scenario));
            }
        }
    }
    let mut measure = Measure {
        scenario,
        chosen,
        footprints: Vec::new(),
        entry: PhantomData::<fn() -> (K, V)>,
    };
    subjects::for_each::<K, V>(&mut measure);
    measure.footprints
}

fn footprint<K: Key, V: Value, S: Subject<K, V>>(scenario: &Scenario) -> Footprint {
    let entries = scenario.capacity as u64;
    let (mut subject, filling) = count(|| {
        let mut subject = S::fresh(scenario.capacity);
        for id in 0..entries {
            subject.insert(K::from_id(id), V::from_id(id));
        }
        subject.settle();
        subject
    });

    let mut held = 0;
    for id in 0..entries {
        held += u64::from(black_box(subject.get(&K::from_id(id))).is_some());
    }
    subject.settle();

    let probes: Vec<K> = (0..100_000).map(K::from_id).collect();
    let (hits, reading) = count(|| {
        let present = |key| black_box(subject.get(key)).is_some();
        probes.iter().map(present).filter(|&hit| hit).count() as u64
    });

    let per_eviction = S::EVICTS.then(|| {
        let new_keys = scenario.keys::<K>();
        let inserts = new_keys.len() as u64;
        let ((), evicting) = count(|| {
            for key in &new_keys {
                subject.insert(key.clone(), V::from_id(1));
            }
            subject.settle();
        });
        per(evicting, inserts)
    });

    Footprint {
        subject: S::NAME,
        held,
        bytes_per_entry: filling.live_bytes as f64 / held.max(1) as f64,
        per_hit: per(reading, hits),
        per_fill: per(filling, entries),
        per_eviction,
    }
}

fn per(counts: Counts, operations: u64) -> f64 {
    counts.allocations as f64 / operations.max(1) as f64
}
