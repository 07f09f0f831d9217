//! Updates of one key take turns, and begin with what the one before has stored, where the store encodes.

use crate::watchdog::{block_on, poll_once};
use nori_cache::{CacheBackend, CacheBackendExt, Codec, Error, MemoryCacheBackend, Operation, Ttl};
use std::future::{poll_fn, ready};
use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::Poll;

/// What comes between two updates.
type Between = fn(&MemoryCacheBackend);

/// A value, once there is an opening.
fn once<T: Clone + Send>(is_open: &AtomicBool, value: T) -> impl Future<Output = T> + Send {
    poll_fn(move |_| match is_open.load(SeqCst) {
        true => Poll::Ready(value.clone()),
        false => Poll::Pending,
    })
}

/// Adds one while another waits to do the same, and then something comes between. Returns what the other saw, what came of it, and how
/// often the store was asked.
fn second_update(backend: &MemoryCacheBackend, between: Between) -> (Vec<Option<u64>>, u64, u64) {
    let asked = || backend.stats()[Operation::Get].calls;
    block_on(backend.set("n", 1_u64, Ttl::Never)).unwrap();
    let before = asked();
    let (is_open, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let slowly = |n: Option<u64>| once(&is_open, n.unwrap_or(0) + 1);
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

/// Removed while others waited: who has come after that is not told of what was there.
#[test]
fn who_comes_after_a_removal_sees_nothing() {
    let [encoded, typed] = backends();
    for backend in [encoded, typed] {
        let seen = Mutex::new(Vec::new());
        let is_open = AtomicBool::new(false);
        let slowly = |_: Option<u64>| once(&is_open, 5);
        let see = |n: Option<u64>| {
            seen.lock().unwrap().push(n);
            ready(Err::<u64, _>(Error::closed()))
        };
        let mut first = pin!(backend.atomic_update("n", None, slowly));
        let mut second = Box::pin(backend.try_atomic_update("n", Ttl::Never, see));
        assert!(poll_once(first.as_mut()).is_none());
        assert!(poll_once(second.as_mut()).is_none());
        is_open.store(true, SeqCst);
        assert_eq!(block_on(first).unwrap(), 5);
        assert!(block_on(backend.delete("n")).unwrap());
        let mut third = pin!(backend.try_atomic_update("n", Ttl::Never, see));
        assert!(poll_once(third.as_mut()).is_none());
        // It had its turn, and never knew.
        drop(second);
        block_on(third).unwrap_err();
        assert_eq!(*seen.lock().unwrap(), [None]);
    }
}

/// As the store would: what another codec has written is not read as one's own.
#[test]
fn what_another_codec_has_written_is_not_read() {
    let [backend, _] = backends();
    let [old, new] = [1, 2].map(|version| Codec::json().version(version));
    let (old, new) = (backend.with_codec(&old), backend.with_codec(&new));
    let is_open = AtomicBool::new(false);
    let slowly = |_: Option<String>| once(&is_open, "old".to_owned());
    let mut first = pin!(old.atomic_update("n", None, slowly));
    let mut second =
        pin!(new.atomic_update("n", None, |_: Option<String>| ready("new".to_owned())));
    assert!(poll_once(first.as_mut()).is_none());
    assert!(poll_once(second.as_mut()).is_none());
    is_open.store(true, SeqCst);
    assert_eq!(block_on(first).unwrap(), "old");
    assert!(block_on(second).unwrap_err().is_decoding());
    assert_eq!(block_on(old.get("n")).unwrap(), Some("old".to_owned()));
}
