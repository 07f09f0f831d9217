//! The gate that a backend closes behind the last call.

use super::waiting::block_on;
use super::{Kind, check, race, racer};
use crate::backend::redis::gate::Gate;
use crate::sync::{AtomicU64, Ordering};
use std::sync::Arc;

/// Two calls beside a close. Caught: one that is let in and not waited for, and one that leaves without Release, or whose
/// end is seen without Acquire.
#[test]
fn close_waits_for_who_is_inside() {
    check(Kind::Symmetric, 3, || {
        let world = Arc::new((Gate::default(), [AtomicU64::new(0), AtomicU64::new(0)]));
        let caller = |own: usize| {
            racer(&world, move |(gate, done): &(Gate, [AtomicU64; 2])| {
                if let Ok(_inside) = gate.enter() {
                    done[own].store(1, Ordering::Relaxed);
                    done[own].store(2, Ordering::Relaxed);
                }
            })
        };
        let closer = racer(&world, |(gate, done): &(Gate, [AtomicU64; 2])| {
            block_on(gate.close());
            let done = || done.iter().map(|done| done.load(Ordering::Relaxed));
            assert!(done().all(|done| done != 1), "somebody is inside");
            let before: Vec<_> = done().collect();
            assert!(gate.enter().is_err());
            assert_eq!(before, done().collect::<Vec<_>>(), "somebody came in");
        });
        race([caller(0), caller(1), closer]);
    });
}
