//! The models: one file for each thing that can go wrong.
//!
//! Each says which bug it catches, and which broken line (`scripts/loom-mutants`) it was seen to catch.

mod annexes;
mod budget;
mod coherence;
mod counters;
mod flights;
mod gate;
mod holds;
mod index;
mod lifetimes;
mod limits;
mod loading;
mod loads;
mod permits;
mod policy;
mod purges;
mod reclaim;
mod slots;
mod stamps;
mod tag_purges;
mod tags;
mod turns;
mod versions;
mod waiting;
mod weights;
mod world;

use crate::atomics;
use crate::barrier::{self, Kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Checks a model in every interleaving with at most `preemptions` preemptions.
fn check(kind: Kind, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let executions = Arc::new(AtomicUsize::new(0));
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 50_000;
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    barrier::choose(kind);
    atomics::check_ends(true);
    atomics::exchange_stores(false);
    builder.check({
        let executions = Arc::clone(&executions);
        move || {
            executions.fetch_add(1, Ordering::Relaxed);
            model();
        }
    });
    println!("{} executions", executions.load(Ordering::Relaxed));
}

/// One thread of a race.
type Racer = Box<dyn FnOnce() + Send>;

/// Runs the threads of a model at the same time and waits for all.
fn race<const N: usize>(racers: [Racer; N]) {
    barrier::expect(N);
    let mut index = 0..N;
    let threads = racers.map(|racer| {
        let index = index.next().expect("there are as many as racers");
        loom::thread::spawn(move || barrier::member(index, racer))
    });
    for thread in threads {
        thread.join().expect("a racer does not panic");
    }
}

/// A thread of a race that works on what all share.
fn racer<W: Send + Sync + 'static>(world: &Arc<W>, run: impl FnOnce(&W) + Send + 'static) -> Racer {
    let world = Arc::clone(world);
    Box::new(move || run(&world))
}

/// Something that must happen in at least one execution, or the model shows nothing.
#[derive(Clone, Default)]
struct Witness(Arc<AtomicUsize>);

impl Witness {
    fn saw(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    #[track_caller]
    fn assert(&self) {
        assert_ne!(self.0.load(Ordering::Relaxed), 0, "it never happened");
    }
}
