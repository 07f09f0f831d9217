//! How long one `get` takes while another thread gets and inserts.

use std::{
    hint::black_box,
    sync::{
        Barrier,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use hdrhistogram::Histogram;

use super::{
    cell::{self, MEASURE, STOP, WARM_UP, WARM_UP_SHARE, Walk},
    scenario::Action,
};
use crate::{
    Key, Subject, Value,
    timer::{self, Timer},
};

/// Times every `get` of one thread beside one churning thread; `None` if the subject cannot be shared.
pub fn run<K: Key, V: Value, S: Subject<K, V>>(
    subject: &mut S,
    keys: &[K],
    timer: Timer,
    time: Duration,
) -> Option<Histogram<u64>> {
    let mut churner = subject.share()?;
    let phase = AtomicU8::new(WARM_UP);
    let barrier = Barrier::new(2);
    let histogram = thread::scope(|scope| {
        scope.spawn(|| {
            let mut walk = Walk::new(keys, keys.len() / 2);
            while phase.load(Relaxed) != STOP {
                cell::perform(&mut churner, Action::GetOrInsert, walk.batch());
            }
        });
        let reader = scope.spawn(|| {
            let mut walk = Walk::new(keys, 0);
            while phase.load(Relaxed) == WARM_UP {
                cell::perform(subject, Action::Get, walk.batch());
            }
            let mut histogram = empty();
            barrier.wait();
            while phase.load(Relaxed) == MEASURE {
                for key in walk.batch() {
                    let from = timer::now();
                    let value = black_box(subject.get(key));
                    let to = timer::now();
                    drop(value);
                    histogram.saturating_record(timer.nanos(from, to));
                }
            }
            histogram
        });
        thread::sleep(time / WARM_UP_SHARE);
        phase.store(MEASURE, Relaxed);
        barrier.wait();
        thread::sleep(time);
        phase.store(STOP, Relaxed);
        reader.join().expect("a subject panicked")
    });
    Some(histogram)
}

/// From one nanosecond to ten seconds with three digits, allocated up front.
fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are constants")
}
