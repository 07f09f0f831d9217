//! Counters that many add to in place.
//!
//! The bug: an increment that succeeds is not in what the counter becomes.

use super::{Kind, check, race, racer};
use crate::backend::memory::counter::{Added, Counter};
use crate::sync::{AtomicU64, Mutex, Ordering};
use loom::sync::Arc as Shared;
use loom::thread;
use std::sync::Arc;

/// A key of the cache. loom sees when the last lets go of a counter, as it does in the cache's own models.
struct Place(Mutex<Shared<Counter>>);

impl Place {
    fn new(value: i64) -> Self {
        Self(Mutex::new(counter(value)))
    }

    fn find(&self) -> Shared<Counter> {
        Shared::clone(&self.0.lock())
    }

    /// As `MemoryCacheBackend::add`.
    fn add(&self, by: i64) -> i64 {
        loop {
            match self.find().add(by) {
                Added::Sum(sum) => return sum,
                Added::Dead => thread::yield_now(),
                Added::TooLarge => panic!("{by} is not large"),
            }
        }
    }

    /// As an increment that is too large for the cell, or an update.
    fn replace(&self, next: impl Fn(i64) -> i64) {
        let mut place = self.0.lock();
        let old = place.kill().expect("nobody else kills it");
        *place = counter(next(old));
    }

    fn get(&self) -> Option<i64> {
        self.find().get()
    }
}

fn counter(value: i64) -> Shared<Counter> {
    Shared::new(Counter::new(value).expect("it is small"))
}

/// Increments beside a replacement. Caught: a kill in two steps, and increments of a dead cell that count.
#[test]
fn no_increment_is_lost() {
    check(Kind::Symmetric, 3, || {
        let place = Arc::new(Place::new(0));
        let adder = || {
            racer(&place, |place: &Place| {
                place.add(1);
            })
        };
        let replacer = racer(&place, |place: &Place| place.replace(|old| old + 100));
        race([adder(), adder(), replacer]);
        assert_eq!(place.get(), Some(102));
    });
}

/// An update in place beside an increment. Caught: an exchange that does not look what is there.
#[test]
fn an_exchange_loses_no_increment() {
    check(Kind::Symmetric, 3, || {
        let place = Arc::new(Place::new(0));
        race([
            racer(&place, |place: &Place| {
                let exchanged = place.find().exchange(0, 100);
                assert_eq!(place.get().map(|value| value >= 100), Some(exchanged));
            }),
            racer(&place, |place: &Place| {
                place.add(1);
            }),
        ]);
        assert!([Some(1), Some(101)].contains(&place.get()));
    });
}

/// Two threads count what they have done. Caught: an increment that is not Release, or not Acquire.
#[test]
fn who_counts_sees_what_was_done_before() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new((Place::new(0), [AtomicU64::new(0), AtomicU64::new(0)]));
        race([0, 1].map(|own| {
            racer(&world, move |(place, done)| {
                done[own].store(1, Ordering::Relaxed);
                if place.add(1) == 2 {
                    assert_eq!(done[1 - own].load(Ordering::Relaxed), 1);
                }
            })
        }));
    });
}
