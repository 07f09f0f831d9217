//! Updates of one key take turns, and begin with what the one before has stored, where the store encodes.

use crate::watchdog::{block_on, poll_once};
use nori_cache::{CacheBackend, CacheBackendExt, Codec, MemoryCacheBackend, Operation, Ttl};
use std::future::{poll_fn, ready};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;

/// What comes between two updates.
type Between = fn(&MemoryCacheBackend);

/// Adds one while another waits to do the same, and then something comes between. Returns what the other saw, what came of it, and how
/// often the store was asked.
fn second_update(backend: &MemoryCacheBackend, between: Between) -> (Vec<Option<u64>>, u64, u64) {
    let asked = || backend.stats()[Operation::Get].calls;
    block_on(backend.set("n", 1_u64, Ttl::Never)).unwrap();
    let before = asked();
    let (is_open, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let slowly = |n: Option<u64>| {
        let is_open = &is_open;
        poll_fn(move |_| match is_open.load(SeqCst) {
            true => Poll::Ready(n.unwrap_or(0) + 1),
            false => Poll::Pending,
        })
    };
    let seeing = |n: Option<u64>| {
        seen.lock().unwrap().push(n);
        ready(n.unwrap_or(0) + 1)
    };
    let mut first = pin!(backend.atomic_update("n", None, slowly));
    let mut second = pin!(backend.atomic_update("n", None, seeing));
    assert!(poll_once(first.as_mut()).is_none());
    assert!(poll_once(second.as_mut()).is_none());
    is_open.store(true, SeqCst);
    assert_eq!(block_on(first).unwrap(), 2);
    between(backend);
    let sum = block_on(second).unwrap();
    assert_eq!(block_on(backend.get("n")).unwrap(), Some(sum));
    let seen = seen.lock().unwrap().clone();
    // Without what was just asked.
    (seen, sum, asked() - before - 1)
}

fn backends() -> [MemoryCacheBackend; 2] {
    let encoded = MemoryCacheBackend::builder().codec(Codec::json());
    [encoded.build().unwrap(), MemoryCacheBackend::new(100)]
}

#[test]
fn who_waited_begins_with_what_was_stored() {
    let [encoded, typed] = backends();
    assert_eq!(second_update(&encoded, |_| ()), (vec![Some(2)], 3, 1));
    // Asking memory costs nothing.
    assert_eq!(second_update(&typed, |_| ()), (vec![Some(2)], 3, 2));
}

#[test]
fn what_comes_between_counts() {
    let [encoded, typed] = backends();
    let set: Between = |backend| block_on(backend.set("n", 10_u64, Ttl::Never)).unwrap();
    let delete: Between = |backend| assert!(block_on(backend.delete("n")).unwrap());
    assert_eq!(
        second_update(&encoded, set),
        (vec![Some(2), Some(10)], 11, 2)
    );
    assert_eq!(second_update(&encoded, delete), (vec![Some(2), None], 1, 2));
    assert_eq!(second_update(&typed, set).1, 11);
    assert_eq!(second_update(&typed, delete).1, 1);
}
