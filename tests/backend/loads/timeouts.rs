//! Limits on how long callers wait, and loaders take.

use super::*;
use std::task::{Context, Poll, Waker};
use tokio::sync::Notify;

#[tokio::test]
async fn the_hard_timeout_is_an_error_that_names_key_and_limit() {
    let store = Store::new();
    let load = store.load("n").hard_timeout(MS).or_load(hangs::<u8>);
    let error = load.await.unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(
        error.to_string(),
        "load \"n\": timed out: the load took longer than 1ms"
    );
    let counts = store.load_counts();
    assert_eq!((counts.begun, counts.failed, counts.timed_out), (1, 1, 1));
    // One that is not reached.
    let source = Source::default();
    let load = store.load("n").hard_timeout(HOUR).or_load(source.load());
    assert_eq!(load.await.unwrap(), 1);
    nothing_is_left(&*store);
}

#[tokio::test]
async fn the_hard_timeout_drops_the_loader() {
    struct Tell(Arc<Notify>);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let store = Store::new();
    let dropped = Arc::new(Notify::new());
    let tell = Tell(Arc::clone(&dropped));
    let load = |_| async move {
        let _tell = tell;
        std::future::pending::<Result<u8, Error>>().await
    };
    let load = store.load("n").hard_timeout(MS).or_load(load);
    assert!(load.await.unwrap_err().is_timeout());
    dropped.notified().await;
}

#[tokio::test]
async fn after_the_hard_timeout_what_is_stale_will_do() {
    let store = Store::new();
    stale(&store, "n").await;
    let load = store.load("n").fail_safe(HOUR).hard_timeout(MS);
    let answer = load.answer_or_load(hangs::<usize>).await.unwrap();
    assert!(is_fail_safe(&answer, "longer than 1ms"), "{answer:?}");
    // And for a while the loader is not asked.
    let load = store.load("n").fail_safe(HOUR);
    let answer = load.answer_or_load(hangs::<usize>).await.unwrap();
    assert!(is_fail_safe(&answer, "longer than 1ms"), "{answer:?}");
    assert_eq!(*answer.value(), 1);
    nothing_is_left(&*store);
}

/// Who waits for another's load has limits of its own.
#[tokio::test]
async fn who_waits_does_so_no_longer_than_its_own_limits() {
    let store = Store::new();
    stale(&store, "n").await;
    let mut leader = Box::pin(store.load("n").or_load(hangs::<usize>));
    let mut context = Context::from_waker(Waker::noop());
    assert!(leader.as_mut().poll(&mut context).is_pending());

    let load = store.load("n").hard_timeout(MS).or_load(hangs::<usize>);
    assert!(load.await.unwrap_err().is_timeout());
    let load = store.load("n").fail_safe(HOUR).hard_timeout(MS);
    let answer = load.answer_or_load(hangs::<usize>).await.unwrap();
    assert!(is_fail_safe(&answer, "longer than 1ms"), "{answer:?}");
    let load = store.load("n").fail_safe(HOUR).soft_timeout(MS);
    let answer = load.answer_or_load(hangs::<usize>).await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::TimedOut));
    assert!(answer.is_refreshing());
    assert_eq!(answer.into_value(), 1);
    drop(leader);
    // It leaves nothing to those who come.
    let source = Source::default();
    assert_eq!(store.load("n").or_load(source.load()).await.unwrap(), 1);
    assert_eq!(store.load_counts().begun, 3);
    nothing_is_left(&*store);
}

#[tokio::test]
async fn without_anything_stale_the_soft_timeout_does_nothing() {
    let store = Store::new();
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let slow = |_| async move {
        gate.notified().await;
        Ok::<_, Error>(2)
    };
    let load = store.load("n").fail_safe(HOUR).soft_timeout(Duration::ZERO);
    let mut load = Box::pin(load.answer_or_load(slow));
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..100 {
        assert!(load.as_mut().poll(&mut context).is_pending());
    }
    go.notify_one();
    let Poll::Ready(answer) = load.as_mut().poll(&mut context) else {
        panic!("it waits on");
    };
    assert!(matches!(answer.unwrap().outcome(), Outcome::Loaded));
}

/// What is too late for its caller is in time for the next.
#[tokio::test]
async fn after_the_soft_timeout_the_load_goes_on() {
    let store = Store::new();
    stale(&store, "n").await;
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let slow = |_| async move {
        gate.notified().await;
        Ok::<_, Error>(2)
    };
    let load = || store.load("n").ttl(MINUTE).fail_safe(HOUR).soft_timeout(MS);
    let answer = load().answer_or_load(slow).await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::TimedOut));
    assert!(answer.outcome().is_stale() && answer.is_refreshing());
    assert_eq!(answer.into_value(), 1);
    // Others find it under way, and wait for it no longer than they want to.
    let answer = load().answer_or_load(hangs::<i32>).await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::TimedOut));
    go.notify_one();
    until("it ends", || store.load_counts().in_background == 0).await;
    let answer = load().answer_or_load(hangs::<i32>).await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::Hit));
    assert_eq!(answer.into_value(), 2);
    let counts = store.load_counts();
    assert_eq!((counts.begun, counts.soft_timeouts), (2, 2));
    nothing_is_left(&*store);
}

/// The hard timeout holds in the background.
#[tokio::test]
async fn what_goes_on_has_an_end() {
    let store = Store::new();
    stale(&store, "n").await;
    let load = store.load("n").fail_safe(HOUR).soft_timeout(MS);
    let load = load.hard_timeout(50 * MS);
    let answer = load.answer_or_load(hangs::<usize>).await.unwrap();
    assert!(answer.outcome().is_stale());
    until("it ends", || store.load_counts().in_background == 0).await;
    assert_eq!(store.load_counts().timed_out, 1);
    nothing_is_left(&*store);
}

/// Without a runtime nothing can go on: the caller waits.
#[test]
fn without_a_runtime_the_caller_waits() {
    use crate::watchdog::block_on;

    let store = Store::new();
    block_on(stale(&store, "n"));
    let slow = |_| async {
        // Twice the soft timeout, by the clock that it goes by.
        let start = Instant::now();
        std::future::poll_fn(|context| {
            if start.elapsed() > 2 * MS {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        Ok::<_, Error>(2)
    };
    let load = store.load("n").fail_safe(HOUR).soft_timeout(MS);
    let answer = block_on(load.answer_or_load(slow)).unwrap();
    assert!(matches!(answer.outcome(), Outcome::Loaded));
    assert_eq!(answer.into_value(), 2);
    // What has expired is loaded, and what is about to is just there.
    let options = || store.load("m").ttl(MINUTE).stale_while_revalidate(HOUR);
    let source = Source::default();
    block_on(options().or_load(source.load())).unwrap();
    store.clock().advance(59_000 * MS);
    let answer = block_on(options().eager_refresh(0.5).answer_or_load(source.load()));
    let answer = answer.unwrap();
    assert!(matches!(answer.outcome(), Outcome::Hit) && !answer.is_refreshing());
    store.clock().advance(MINUTE);
    let answer = block_on(options().answer_or_load(source.load())).unwrap();
    assert!(matches!(answer.outcome(), Outcome::Loaded));
    assert_eq!((answer.into_value(), source.calls()), (2, 2));
    nothing_is_left(&*store);
}
