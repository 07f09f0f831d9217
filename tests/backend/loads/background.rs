//! Loads in the background: eager refresh, stale-while-revalidate, what writes do to them, and what becomes of them at the end.

use super::*;
use nori_cache::handle::Shared;
use nori_cache::{Load, View};
use tokio::sync::Notify;

fn eager<'a>(store: &'a Arc<Store>, key: &'a str) -> Load<'a, Shared<'a, Store>> {
    store.load(key).ttl(MINUTE).eager_refresh(0.8)
}

fn revalidating<'a>(store: &'a Arc<Store>, key: &'a str) -> Load<'a, Shared<'a, Store>> {
    store.load(key).ttl(MINUTE).stale_while_revalidate(HOUR)
}

async fn all_end(store: &Arc<Store>) {
    until("they end", || store.load_counts().in_background == 0).await;
}

type Loading = std::pin::Pin<Box<dyn Future<Output = Result<usize, Error>> + Send>>;

/// A loader that waits for a signal, and then returns this.
fn gated(go: &Arc<Notify>, value: usize) -> impl FnOnce(LoadContext<usize>) -> Loading + use<> {
    let go = Arc::clone(go);
    move |_| {
        Box::pin(async move {
            go.notified().await;
            Ok(value)
        })
    }
}

#[tokio::test]
async fn one_of_many_callers_refreshes_what_is_about_to_expire() {
    let store = Store::new();
    let source = Source::default();
    eager(&store, "n").or_load(source.load()).await.unwrap();
    store.clock().advance(47_999 * MS);
    let answer = eager(&store, "n")
        .answer_or_load(source.load())
        .await
        .unwrap();
    assert!(!answer.is_refreshing());
    store.clock().advance(MS);
    let go = Arc::new(Notify::new());
    for _ in 0..64 {
        let answer = eager(&store, "n")
            .answer_or_load(gated(&go, 2))
            .await
            .unwrap();
        assert!(matches!(answer.outcome(), Outcome::Hit), "{answer:?}");
        assert!(answer.is_refreshing());
        assert_eq!(answer.into_value(), 1);
    }
    let counts = store.load_counts();
    assert_eq!((counts.refreshed, counts.in_background), (1, 1));
    go.notify_one();
    all_end(&store).await;
    let answer = eager(&store, "n")
        .answer_or_load(source.load())
        .await
        .unwrap();
    assert!(!answer.is_refreshing());
    assert_eq!((answer.into_value(), source.calls()), (2, 1));
    nothing_is_left(&*store);
}

#[tokio::test]
async fn what_has_expired_is_returned_and_replaced() {
    let store = Store::new();
    let source = Source::default();
    revalidating(&store, "n")
        .or_load(source.load())
        .await
        .unwrap();
    store.clock().advance(MINUTE);
    let answer = revalidating(&store, "n")
        .answer_or_load(source.load())
        .await
        .unwrap();
    assert!(matches!(answer.outcome(), Outcome::Stale), "{answer:?}");
    assert!(answer.is_refreshing());
    assert_eq!(answer.into_value(), 1);
    all_end(&store).await;
    let answer = revalidating(&store, "n")
        .answer_or_load(source.load())
        .await
        .unwrap();
    assert!(matches!(answer.outcome(), Outcome::Hit), "{answer:?}");
    assert_eq!((answer.into_value(), source.calls()), (2, 2));
    // Past the window it is loaded.
    store.clock().advance(HOUR + MINUTE);
    let answer = revalidating(&store, "n")
        .answer_or_load(source.load())
        .await
        .unwrap();
    assert!(matches!(answer.outcome(), Outcome::Loaded), "{answer:?}");
    nothing_is_left(&*store);
}

#[tokio::test]
async fn a_refresh_that_fails_or_panics_is_not_tried_again_for_a_while() {
    for panics in [false, true] {
        let store = Store::new();
        let source = Source::default();
        revalidating(&store, "n")
            .or_load(source.load())
            .await
            .unwrap();
        store.clock().advance(MINUTE);
        let load = move |_| async move {
            if panics {
                // Not `panic!`: the hook would print it.
                std::panic::resume_unwind(Box::new(()));
            }
            Err::<usize, _>("the source is down".to_owned())
        };
        let answer = revalidating(&store, "n")
            .answer_or_load(load)
            .await
            .unwrap();
        assert!(answer.is_refreshing());
        all_end(&store).await;
        assert_eq!(store.load_counts().failed, 1);
        let answer = revalidating(&store, "n")
            .answer_or_load(source.load())
            .await
            .unwrap();
        assert!(matches!(answer.outcome(), Outcome::Stale) && !answer.is_refreshing());
        assert_eq!(source.calls(), 1);
        store.clock().advance(30_000 * MS);
        let answer = revalidating(&store, "n")
            .answer_or_load(source.load())
            .await
            .unwrap();
        assert!(answer.is_refreshing());
        all_end(&store).await;
        assert_eq!(store.get("n").await.unwrap(), Some(2_usize));
        nothing_is_left(&*store);
    }
}

/// Invalidation wins over whatever is in the background.
#[tokio::test]
async fn writes_win_over_loads_in_the_background() {
    for case in 0..4 {
        let store = Store::new();
        let source = Source::default();
        revalidating(&store, "n")
            .or_load(source.load())
            .await
            .unwrap();
        store.clock().advance(MINUTE);
        let go = Arc::new(Notify::new());
        let begun = match case % 2 {
            0 => {
                revalidating(&store, "n")
                    .answer_or_load(gated(&go, 2))
                    .await
            }
            _ => {
                stale(&store, "n").await;
                let load = store.load("n").fail_safe(HOUR).soft_timeout(MS);
                load.answer_or_load(gated(&go, 2)).await
            }
        };
        assert!(begun.unwrap().is_refreshing());
        // It runs before the write comes.
        until("it begins", || store.load_counts().begun >= 2).await;
        let left = match case / 2 {
            0 => {
                assert!(store.delete("n").await.unwrap());
                None
            }
            _ => {
                store.set("n", 7_usize, HOUR).await.unwrap();
                Some(7)
            }
        };
        go.notify_one();
        all_end(&store).await;
        assert_eq!(store.get("n").await.unwrap(), left, "{case}");
        nothing_is_left(&*store);
    }
}

#[tokio::test]
async fn there_are_no_more_than_256_in_the_background() {
    let store = Store::new();
    let keys: Vec<String> = (0..300).map(|n| format!("n{n}")).collect();
    let one = |_| async { Ok::<_, Error>(1) };
    for key in &keys {
        revalidating(&store, key).or_load(one).await.unwrap();
    }
    store.clock().advance(MINUTE);
    let go = Arc::new(Notify::new());
    let mut refreshing = 0;
    for key in &keys {
        let answer = revalidating(&store, key).answer_or_load(gated(&go, 2));
        let answer = answer.await.unwrap();
        assert!(matches!(answer.outcome(), Outcome::Stale));
        refreshing += usize::from(answer.is_refreshing());
    }
    assert_eq!(refreshing, 256);
    let counts = store.load_counts();
    let counted = (counts.refreshed, counts.refused, counts.in_background);
    assert_eq!(counted, (256, 44, 256));
    // Who has a soft timeout waits, if its load cannot go on.
    stale(&store, "soft").await;
    let load = store.load("soft").fail_safe(HOUR).soft_timeout(MS);
    let open = Arc::new(Notify::new());
    let load = load.answer_or_load(gated(&open, 3));
    let opens = async {
        until("it begins", || store.load_counts().begun == 300 + 256 + 2).await;
        std::thread::sleep(2 * MS);
        tokio::task::yield_now().await;
        open.notify_one();
    };
    let (answer, ()) = tokio::join!(load, opens);
    assert!(matches!(answer.unwrap().outcome(), Outcome::Loaded));
    while store.load_counts().in_background > 0 {
        go.notify_waiters();
        tokio::task::yield_now().await;
    }
    nothing_is_left(&*store);
}

/// What is dropped, or ends with its runtime, leaves nothing.
#[test]
fn a_runtime_that_ends_takes_its_loads_along() {
    let store = Store::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let first = runtime();
    let source = Source::default();
    first.block_on(async {
        revalidating(&store, "n")
            .or_load(source.load())
            .await
            .unwrap();
        store.clock().advance(MINUTE);
        let never = |_| std::future::pending::<Result<usize, Error>>();
        let answer = revalidating(&store, "n")
            .answer_or_load(never)
            .await
            .unwrap();
        assert!(answer.is_refreshing());
        stale(&store, "soft").await;
        let load = store.load("soft").fail_safe(HOUR).soft_timeout(MS);
        let answer = load.answer_or_load(hangs::<usize>).await.unwrap();
        assert!(matches!(answer.outcome(), Outcome::TimedOut));
    });
    assert_eq!(store.load_counts().in_background, 2);
    drop(first);
    nothing_is_left(&*store);
    runtime().block_on(async {
        let answer = revalidating(&store, "n")
            .answer_or_load(source.load())
            .await
            .unwrap();
        assert!(answer.is_refreshing());
        all_end(&store).await;
    });
    assert_eq!(source.calls(), 2);
    nothing_is_left(&*store);
}

/// Whatever a caller does not wait for.
#[tokio::test]
async fn dropped_futures_leave_nothing() {
    use std::task::{Context, Waker};

    let store = Store::new();
    stale(&store, "n").await;
    let mut context = Context::from_waker(Waker::noop());
    for turns in 0..4 {
        store.slow(turns);
        for polls in 0..6 {
            let plain = store.load("n").or_load(hangs::<usize>);
            let scoped = store.load_scoped("n").fail_safe(HOUR);
            let scoped = scoped.hard_timeout(HOUR).or_load(hangs::<usize>);
            let soft = store.load("n").fail_safe(HOUR).soft_timeout(HOUR);
            let soft = soft.or_load(hangs::<usize>);
            let none = |_| std::future::pending::<Result<Option<usize>, Error>>();
            let optional = store.load("m").or_load_optional(none);
            let mut loads: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 4] = [
                Box::pin(async move { drop(plain.await) }),
                Box::pin(async move { drop(scoped.await) }),
                Box::pin(async move { drop(soft.await) }),
                Box::pin(async move { drop(optional.await) }),
            ];
            for _ in 0..polls {
                for load in &mut loads {
                    assert!(load.as_mut().poll(&mut context).is_pending());
                }
            }
            drop(loads);
            nothing_is_left(&*store);
        }
    }
    // They have noted no failure, either.
    store.slow(0);
    let source = Source::default();
    let load = store.load("n").fail_safe(HOUR).or_load(source.load());
    assert_eq!(load.await.unwrap(), 1);
}

/// A view that is shared.
#[tokio::test]
async fn views_refresh_in_the_background_too() {
    let store = Store::new();
    let view = Arc::new(View::of(Arc::clone(&store)));
    let source = Source::default();
    let load = || view.load("n").ttl(MINUTE).stale_while_revalidate(HOUR);
    load().or_load(source.load()).await.unwrap();
    store.clock().advance(MINUTE);
    let answer = load().answer_or_load(source.load()).await.unwrap();
    assert!(answer.is_refreshing());
    all_end(&store).await;
    assert_eq!(store.get("n").await.unwrap(), Some(2_usize));
    nothing_is_left(&*store);
}
