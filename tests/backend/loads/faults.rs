//! The table of faults: the source is slow, fails or panics, and the store is up, slow, down or back again.

use super::*;
use std::panic::resume_unwind;
use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq)]
enum SourceIs {
    Well,
    /// Slower than the soft timeout.
    Slow,
    Failing,
    Panicking,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum StoreIs {
    Up,
    Slow,
    Down,
    /// Down when it is read, and up when what was loaded is to be stored.
    Back,
}

/// What the caller gets, and what the next one gets.
#[derive(Debug, PartialEq)]
enum Got {
    Loaded,
    /// The new value, and what the store failed with.
    NotStored,
    Hit,
    FailSafe,
    TimedOut,
    Error,
    Panic,
}

const SOURCES: [SourceIs; 4] = [
    SourceIs::Well,
    SourceIs::Slow,
    SourceIs::Failing,
    SourceIs::Panicking,
];
const STORES: [StoreIs; 4] = [StoreIs::Up, StoreIs::Slow, StoreIs::Down, StoreIs::Back];

/// With something stale in the store: what the caller gets, what the next one gets of a source that is well, and whether the new
/// value is stored in the end.
fn expected(source: SourceIs, store: StoreIs) -> (Got, Got, bool) {
    use Got::*;
    match (source, store) {
        (SourceIs::Well, StoreIs::Up | StoreIs::Slow) => (Loaded, Hit, true),
        (SourceIs::Slow, StoreIs::Up | StoreIs::Slow) => (TimedOut, Hit, true),
        // The next one comes within the pause.
        (SourceIs::Failing, StoreIs::Up | StoreIs::Slow) => (FailSafe, FailSafe, false),
        (SourceIs::Panicking, StoreIs::Up | StoreIs::Slow) => (Panic, FailSafe, false),
        // What is stale cannot be read: the caller waits for the source, and gets what it says.
        (SourceIs::Well | SourceIs::Slow, StoreIs::Down) => (NotStored, NotStored, false),
        (SourceIs::Failing, StoreIs::Down) => (Error, NotStored, false),
        (SourceIs::Panicking, StoreIs::Down) => (Panic, NotStored, false),
        // What is in the store is not known, and so not written over; the next one does that.
        (SourceIs::Well | SourceIs::Slow, StoreIs::Back) => (NotStored, Loaded, true),
        // The next one sees what is stale.
        (SourceIs::Failing, StoreIs::Back) => (Error, FailSafe, false),
        (SourceIs::Panicking, StoreIs::Back) => (Panic, FailSafe, false),
    }
}

/// The same without anything in the store.
fn expected_of_empty(source: SourceIs, store: StoreIs) -> (Got, Got, bool) {
    use Got::*;
    match (source, store) {
        // There is nothing to go away with.
        (SourceIs::Well | SourceIs::Slow, StoreIs::Up | StoreIs::Slow) => (Loaded, Hit, true),
        (SourceIs::Failing, StoreIs::Up | StoreIs::Slow) => (Error, Loaded, true),
        (SourceIs::Panicking, StoreIs::Up | StoreIs::Slow) => (Panic, Loaded, true),
        // It is stored, though it could not be read.
        (SourceIs::Well | SourceIs::Slow, StoreIs::Back) => (NotStored, Hit, true),
        (SourceIs::Failing, StoreIs::Back) => (Error, Loaded, true),
        (SourceIs::Panicking, StoreIs::Back) => (Panic, Loaded, true),
        (_, StoreIs::Down) => expected(source, store),
    }
}

fn got(answer: Result<Result<Answer<usize>, String>, tokio::task::JoinError>) -> Got {
    match answer {
        Err(panicked) => {
            assert!(panicked.is_panic());
            Got::Panic
        }
        Ok(Err(error)) => {
            assert_eq!(error, "the source is down");
            Got::Error
        }
        Ok(Ok(answer)) => {
            let got = match answer.outcome() {
                Outcome::Loaded if answer.store_error().is_some() => Got::NotStored,
                Outcome::Loaded => Got::Loaded,
                Outcome::Hit => Got::Hit,
                Outcome::FailSafe(_) => Got::FailSafe,
                Outcome::TimedOut => Got::TimedOut,
                other => panic!("{other:?}"),
            };
            let is_stale = matches!(got, Got::FailSafe | Got::TimedOut);
            assert_eq!(is_stale, answer.outcome().is_stale());
            assert_eq!(*answer.value(), if is_stale { 1 } else { 2 }, "{answer:?}");
            got
        }
    }
}

async fn cell(source: SourceIs, store_is: StoreIs, is_stale: bool) -> (Got, Got, bool) {
    let store = Store::new();
    if is_stale {
        stale(&store, "n").await;
    }
    match store_is {
        StoreIs::Up => {}
        StoreIs::Slow => store.slow(5),
        StoreIs::Down => store.down(true),
        StoreIs::Back => store.reads_are_down(true),
    }
    let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let load = |store: &Arc<Store>, source, begun: &Arc<Notify>, go: &Arc<Notify>| {
        let (store, begun, go) = (Arc::clone(store), Arc::clone(begun), Arc::clone(go));
        tokio::spawn(async move {
            let load = store.load("n").ttl(MINUTE).fail_safe(HOUR);
            // No time at all, and all the time there is.
            let load = load.soft_timeout(match source {
                SourceIs::Slow => Duration::ZERO,
                _ => HOUR,
            });
            load.answer_or_load(move |_| async move {
                begun.notify_one();
                match source {
                    SourceIs::Well => Ok(2),
                    SourceIs::Slow => {
                        go.notified().await;
                        Ok(2)
                    }
                    SourceIs::Failing => Err("the source is down".to_owned()),
                    // Not `panic!`: the hook would print it.
                    SourceIs::Panicking => resume_unwind(Box::new(())),
                }
            })
            .await
        })
    };
    let first = load(&store, source, &begun, &go);
    if source == SourceIs::Slow {
        begun.notified().await;
        let waits = !is_stale || matches!(store_is, StoreIs::Down | StoreIs::Back);
        if waits {
            // In vain, if it were not so.
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert!(!first.is_finished());
            go.notify_one();
        }
    }
    let first = got(first.await);
    if first == Got::TimedOut {
        assert_eq!(store.load_counts().in_background, 1);
        go.notify_one();
        until("it ends", || store.load_counts().in_background == 0).await;
    }
    if store_is == StoreIs::Back {
        store.down(false);
    }
    let next = got(load(&store, SourceIs::Well, &begun, &go).await);
    until("all end", || store.load_counts().in_background == 0).await;
    nothing_is_left(&*store);
    store.down(false);
    let is_stored = store.get::<usize>("n").await.unwrap() == Some(2);
    (first, next, is_stored)
}

#[tokio::test]
async fn every_cell_has_its_outcome() {
    for source in SOURCES {
        for store in STORES {
            let cell = Box::pin(cell(source, store, true)).await;
            assert_eq!(cell, expected(source, store), "{source:?}, {store:?}");
        }
    }
}

#[tokio::test]
async fn every_cell_without_anything_stale() {
    for source in SOURCES {
        for store in STORES {
            let cell = Box::pin(cell(source, store, false)).await;
            let expected = expected_of_empty(source, store);
            assert_eq!(cell, expected, "{source:?}, {store:?}");
        }
    }
}

/// A store that is down: one load for all, and all get what it got.
#[tokio::test]
async fn single_flight_holds_while_the_store_is_down() {
    let store = Store::new();
    store.down(true);
    let source = Source::default();
    let go = Arc::new(Notify::new());
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (store, go) = (Arc::clone(&store), Arc::clone(&go));
            let load = source.load();
            tokio::spawn(async move {
                let slow = |cx| async move {
                    go.notified().await;
                    load(cx).await
                };
                store.load("n").answer_or_load(slow).await
            })
        })
        .collect();
    until("all have asked", || store.calls().0 == 64).await;
    go.notify_one();
    let mut loaded = 0;
    for caller in callers {
        let answer = caller.await.unwrap().unwrap();
        match answer.outcome() {
            Outcome::Loaded => loaded += 1,
            Outcome::Coalesced => {}
            other => panic!("{other:?}"),
        }
        assert!(answer.store_error().unwrap().is_connection());
        assert_eq!(answer.into_value(), 1);
    }
    assert_eq!((loaded, source.calls()), (1, 1));
    let counts = store.load_counts();
    assert_eq!((counts.begun, counts.unread, counts.unstored), (1, 64, 1));
    nothing_is_left(&*store);
}

#[tokio::test]
async fn strict_loads_fail_as_the_store_does() {
    let store = Store::new();
    let source = Source::default();
    let strict = || store.load("n").strict().or_load(source.load());
    store.reads_are_down(true);
    assert!(strict().await.unwrap_err().is_connection());
    assert_eq!(source.calls(), 0);
    store.reads_are_down(false);
    store.writes_are_down(true);
    assert!(strict().await.unwrap_err().is_connection());
    assert_eq!(source.calls(), 1);
    store.writes_are_down(false);
    assert_eq!(strict().await.unwrap(), 2);
    // What cannot be decoded, too.
    let text = store.load("n").strict();
    let text = text.or_load(|_| async { Ok::<_, Error>("text".to_owned()) });
    assert!(text.await.unwrap_err().is_decoding());
    nothing_is_left(&*store);
}

/// The short form.
#[tokio::test]
async fn get_or_load_survives_a_store_that_is_down() {
    let store = Store::new();
    for (reads, writes) in [(true, true), (true, false), (false, true)] {
        store.reads_are_down(reads);
        store.writes_are_down(writes);
        let load = || async { Ok::<_, Error>(1) };
        assert_eq!(store.get_or_load("n", MINUTE, load).await.unwrap(), 1);
        store.down(false);
        assert_eq!(store.get("n").await.unwrap(), (!writes).then_some(1));
        store.delete("n").await.unwrap();
    }
    nothing_is_left(&*store);
}
