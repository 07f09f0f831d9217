//! Each option by itself.

use super::*;
use nori_cache::{LoadOptions, MemoryCacheBackend, Ttl, View};

#[tokio::test]
async fn without_options_a_load_is_a_plain_value() {
    let store = Store::new();
    let source = Source::default();
    for _ in 0..3 {
        assert_eq!(store.load("n").or_load(source.load()).await.unwrap(), 1);
    }
    assert_eq!(source.calls(), 1);
    // A miss looks twice, a hit once.
    assert_eq!(store.calls(), (4, 1));
    let raw = store.raw("n").await.unwrap();
    assert_eq!(&*raw.encode().unwrap(), b"1");
    // With a time to live, and jitter, too.
    let load = store.load("m").ttl(MINUTE).jitter(0.1);
    assert_eq!(load.or_load(source.load()).await.unwrap(), 2);
    let raw = store.raw("m").await.unwrap();
    assert_eq!(&*raw.encode().unwrap(), b"2");
    assert_eq!(store.incr("m", MINUTE).await.unwrap(), 3);
    nothing_is_left(&*store);
}

#[tokio::test]
async fn the_time_to_live_is_the_load_s_or_the_backend_s() {
    let store = Store::new();
    let source = Source::default();
    store.load("default").or_load(source.load()).await.unwrap();
    assert_eq!(
        store.ttl("default").await.unwrap(),
        Some(Ttl::After(Duration::from_secs(300)))
    );
    let load = store.load("own").ttl(MINUTE);
    load.or_load(source.load()).await.unwrap();
    assert_eq!(store.ttl("own").await.unwrap(), Some(Ttl::After(MINUTE)));
    // The loader knows better.
    let better = |cx: LoadContext<u8>| async move {
        cx.ttl(HOUR);
        Ok::<_, Error>(1)
    };
    store
        .load("better")
        .ttl(MINUTE)
        .or_load(better)
        .await
        .unwrap();
    assert_eq!(store.ttl("better").await.unwrap(), Some(Ttl::After(HOUR)));
    // And for none at all.
    let load = store.load("zero").ttl(Duration::ZERO).fail_safe(HOUR);
    load.or_load(source.load()).await.unwrap();
    assert!(store.raw("zero").await.is_none());
}

#[tokio::test]
async fn jitter_shortens_by_a_share() {
    let store = Store::new();
    let mut left = Vec::new();
    for n in 0..50 {
        let key = format!("k{n}");
        let one = |_| async { Ok::<_, Error>(1) };
        store
            .load(&key)
            .ttl(HOUR)
            .jitter(0.5)
            .or_load(one)
            .await
            .unwrap();
        match store.ttl(&key).await.unwrap() {
            Some(Ttl::After(ttl)) => left.push(ttl),
            other => panic!("{other:?}"),
        }
    }
    assert!(
        left.iter().all(|ttl| *ttl <= HOUR && *ttl >= HOUR / 2),
        "{left:?}"
    );
    left.sort();
    left.dedup();
    assert!(left.len() > 40, "{left:?}");
}

#[tokio::test]
async fn fail_safe_returns_what_has_expired_and_pauses() {
    let store = Store::new();
    stale(&store, "n").await;
    let load = || store.load("n").ttl(MINUTE).fail_safe(HOUR);
    let answer = load().answer_or_load(down::<usize>).await.unwrap();
    assert_eq!(*answer.value(), 1);
    assert!(is_fail_safe(&answer, "the source is down"), "{answer:?}");
    assert!(answer.outcome().is_stale());
    // For 30 s nobody tries again.
    store.clock().advance(29_999 * MS);
    let source = Source::default();
    let answer = load().answer_or_load(source.load()).await.unwrap();
    assert!(is_fail_safe(&answer, "the source is down"), "{answer:?}");
    assert_eq!((*answer.value(), source.calls()), (1, 0));
    store.clock().advance(MS);
    source.0.store(6, Ordering::SeqCst);
    let answer = load().answer_or_load(source.load()).await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::Loaded));
    assert_eq!(answer.into_value(), 7);
    assert_eq!(store.get("n").await.unwrap(), Some(7_usize));
    let counts = store.load_counts();
    assert_eq!((counts.failed, counts.fail_safe), (1, 2));
    nothing_is_left(&*store);
}

#[tokio::test]
async fn the_window_of_fail_safe_has_an_end() {
    let store = Store::new();
    stale(&store, "n").await;
    store.clock().advance(30 * MINUTE);
    // Of this load it is shorter than of the one that stored it.
    let short = store
        .load("n")
        .fail_safe(20 * MINUTE)
        .or_load(down::<usize>);
    assert_eq!(short.await.unwrap_err(), "the source is down");
    // None has no window.
    let none = store.load("n").or_load(down::<usize>);
    assert_eq!(none.await.unwrap_err(), "the source is down");
    let load = || store.load("n").fail_safe(HOUR).or_load(down::<usize>);
    assert_eq!(load().await.unwrap(), 1);
    store.clock().advance(30 * MINUTE);
    assert_eq!(load().await.unwrap_err(), "the source is down");
    assert!(store.raw("n").await.is_none());
}

#[tokio::test]
async fn the_pause_can_be_set_and_success_or_a_write_ends_it() {
    let store = Store::new();
    stale(&store, "n").await;
    let load = || store.load("n").fail_safe(HOUR).fail_safe_throttle(MINUTE);
    assert_eq!(load().or_load(down::<usize>).await.unwrap(), 1);
    store.clock().advance(MINUTE - MS);
    let source = Source::default();
    assert_eq!(load().or_load(source.load()).await.unwrap(), 1);
    assert_eq!(source.calls(), 0);
    // There is nothing any more, and no failure either.
    assert!(store.delete("n").await.unwrap());
    assert_eq!(load().or_load(source.load()).await.unwrap(), 1);
    assert_eq!(source.calls(), 1);
    // No pause at all.
    store.clock().advance(HOUR);
    let load = || {
        store
            .load("n")
            .fail_safe(2 * HOUR)
            .fail_safe_throttle(Duration::ZERO)
    };
    assert_eq!(load().or_load(source.load()).await.unwrap(), 2);
    store.clock().advance(MINUTE * 6);
    assert_eq!(load().or_load(down::<usize>).await.unwrap(), 2);
    assert_eq!(load().or_load(source.load()).await.unwrap(), 3);
}

#[tokio::test]
async fn none_is_remembered_on_request() {
    let store = Store::new();
    let calls = AtomicUsize::new(0);
    let none = |_: LoadContext<String>| {
        calls.fetch_add(1, Ordering::SeqCst);
        async { Ok::<_, Error>(None) }
    };
    // Not without.
    for _ in 0..2 {
        let load = store.load_scoped("n").or_load_optional(none);
        assert_eq!(load.await.unwrap(), None);
    }
    assert_eq!(calls.swap(0, Ordering::SeqCst), 2);
    assert!(store.raw("n").await.is_none());
    for _ in 0..3 {
        let load = store.load_scoped("n").negative_ttl(MINUTE);
        let answer = load.answer_or_load_optional(none).await.unwrap();
        assert_eq!(answer.into_value(), None);
    }
    assert_eq!(calls.swap(0, Ordering::SeqCst), 1);
    // To others there is nothing.
    assert_eq!(store.get::<String>("n").await.unwrap(), None);
    assert_eq!(store.get::<Option<String>>("n").await.unwrap(), None);
    assert_eq!(store.get::<u8>("n").await.unwrap(), None);
    assert!(store.get_shared::<String>("n").await.unwrap().is_none());
    assert_eq!(store.get_many::<String>(&["n"]).await.unwrap(), [None]);
    assert_eq!(store.undecodable().total(), 0);
    store.clock().advance(MINUTE);
    let some = |_| async { Ok::<_, Error>(Some("some".to_owned())) };
    let load = store.load("n").negative_ttl(MINUTE).or_load_optional(some);
    assert_eq!(load.await.unwrap().unwrap(), "some");
    assert_eq!(store.get::<String>("n").await.unwrap().unwrap(), "some");
}

#[tokio::test]
async fn who_must_have_a_value_loads_where_none_is_remembered() {
    let store = Store::new();
    let none = |_| async { Ok::<Option<usize>, Error>(None) };
    let load = store.load("n").negative_ttl(MINUTE).or_load_optional(none);
    assert_eq!(load.await.unwrap(), None);
    let source = Source::default();
    assert_eq!(store.load("n").or_load(source.load()).await.unwrap(), 1);
    assert_eq!(store.get("n").await.unwrap(), Some(1_usize));
}

/// A value that is gone at the source is not kept for worse times.
#[tokio::test]
async fn none_removes_what_was_kept() {
    let store = Store::new();
    stale(&store, "n").await;
    assert!(store.raw("n").await.is_some());
    let none = |_| async { Ok::<Option<usize>, Error>(None) };
    let load = store.load("n").fail_safe(HOUR).or_load_optional(none);
    assert_eq!(load.await.unwrap(), None);
    assert!(store.raw("n").await.is_none());
}

#[tokio::test]
async fn errors_are_remembered_on_request() {
    let store = Store::new();
    let calls = AtomicUsize::new(0);
    let fails = |_| async {
        calls.fetch_add(1, Ordering::SeqCst);
        Err::<u8, _>("no such row".to_owned())
    };
    let load = || store.load_scoped("n").cache_errors(MINUTE).or_load(fails);
    assert_eq!(load().await.unwrap_err(), "no such row");
    store.clock().advance(MINUTE - MS);
    assert_eq!(
        load().await.unwrap_err(),
        "load \"n\": the loader failed: no such row"
    );
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    store.clock().advance(MS);
    assert_eq!(load().await.unwrap_err(), "no such row");
    // Not by who does not ask for it, and a write makes it void.
    let other = store.load_scoped("n").or_load(fails);
    assert_eq!(other.await.unwrap_err(), "no such row");
    assert!(!store.delete("n").await.unwrap());
    assert_eq!(load().await.unwrap_err(), "no such row");
    assert_eq!(calls.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn reads_and_writes_can_be_skipped() {
    let store = Store::new();
    let source = Source::default();
    let load = || store.load("n").ttl(MINUTE);
    assert_eq!(load().or_load(source.load()).await.unwrap(), 1);
    assert_eq!(load().skip_read().or_load(source.load()).await.unwrap(), 2);
    assert_eq!(store.get("n").await.unwrap(), Some(2_usize));
    let both = load().skip_read().skip_write();
    assert_eq!(both.or_load(source.load()).await.unwrap(), 3);
    assert_eq!(store.get("n").await.unwrap(), Some(2_usize));
    let other = store.load("other").skip_write();
    assert_eq!(other.or_load(source.load()).await.unwrap(), 4);
    assert!(store.raw("other").await.is_none());
    // The value that is there is what the loader can compare with.
    let more = |cx: LoadContext<usize>| async move { Ok::<_, Error>(cx.stale().unwrap() + 10) };
    assert_eq!(load().skip_read().or_load(more).await.unwrap(), 12);
}

#[tokio::test]
async fn a_loader_can_keep_its_result_out_of_the_store() {
    let store = Store::new();
    // What type it is of is found out by what it returns.
    let load = store.load("n").or_load(|cx| async move {
        cx.not_cached();
        let n = cx.not_modified().unwrap_or(1_u8);
        Ok::<_, Error>(n)
    });
    assert_eq!(load.await.unwrap(), 1);
    assert!(store.raw("n").await.is_none());
}

#[tokio::test]
async fn a_validator_is_for_the_next_loader_and_not_modified_renews() {
    let store = Store::new();
    let load = || store.load("page").ttl(MINUTE).fail_safe(HOUR);
    let first = |cx: LoadContext<String>| async move {
        assert!(cx.stale().is_none() && cx.validator().is_none() && cx.not_modified().is_none());
        cx.validator_is("\"1\"");
        Ok::<_, Error>("one".to_owned())
    };
    let tagged = load().tags(["pages", "all"]);
    assert_eq!(tagged.or_load(first).await.unwrap(), "one");
    for _ in 0..3 {
        store.clock().advance(MINUTE);
        let same = |cx: LoadContext<String>| async move {
            assert_eq!(cx.validator(), Some("\"1\""));
            let tags: Vec<&str> = cx.stale_tags().collect();
            assert_eq!(tags, ["pages", "all"]);
            Ok::<_, Error>(cx.not_modified().unwrap())
        };
        assert_eq!(load().or_load(same).await.unwrap(), "one");
        // It is fresh again.
        let hit = load().answer_or_load(down::<String>).await.unwrap();
        assert!(matches!(hit.outcome(), Outcome::Hit));
    }
    store.clock().advance(MINUTE);
    let changed = |cx: LoadContext<String>| async move {
        assert_eq!(cx.stale().map(String::as_str), Some("one"));
        Ok::<_, Error>("two".to_owned())
    };
    assert_eq!(load().or_load(changed).await.unwrap(), "two");
    store.clock().advance(MINUTE);
    let none = |cx: LoadContext<String>| async move {
        assert_eq!((cx.validator(), cx.stale_tags().count()), (None, 0));
        Ok::<_, Error>("three".to_owned())
    };
    assert_eq!(load().or_load(none).await.unwrap(), "three");
}

#[tokio::test]
async fn what_is_too_much_is_a_typed_error() {
    let store = Store::new();
    let source = Source::default();
    let many: Vec<String> = (0..17).map(|n| n.to_string()).collect();
    let long = "x".repeat(257);
    let wrong = [
        (
            store.load("n").tags(many.iter().map(String::as_str)),
            "tags is 17",
        ),
        (store.load("n").tags([&*long]), "tag is 257"),
        (store.load("n").jitter(1.1), "jitter is 1.1"),
        (store.load("n").jitter(f64::NAN), "jitter is NaN"),
        (store.load("n").eager_refresh(1.0), "eager_refresh is 1"),
        (store.load("n").eager_refresh(0.0), "eager_refresh is 0"),
        (
            store.load("n").eager_refresh(f64::NAN),
            "eager_refresh is NaN",
        ),
    ];
    for (load, text) in wrong {
        let error = load.or_load(source.load()).await.unwrap_err();
        assert!(error.is_invalid_config(), "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
    let validator = |cx: LoadContext<u8>| async move {
        cx.validator_is("x".repeat(1025));
        Ok::<_, Error>(1)
    };
    let error = store.load("n").or_load(validator).await.unwrap_err();
    assert!(error.is_encoding(), "{error}");
    assert_eq!(source.calls(), 0);
    nothing_is_left(&*store);
}

#[tokio::test]
async fn options_are_a_backend_s_and_those_of_a_load_come_first() {
    let options = LoadOptions::new().ttl(MINUTE).fail_safe(HOUR);
    let wrong = MemoryCacheBackend::builder().load_options(options.clone().jitter(2.0));
    assert!(wrong.build().unwrap_err().is_invalid_config());

    let store = Store::with_options(options);
    let source = Source::default();
    assert_eq!(store.load("n").or_load(source.load()).await.unwrap(), 1);
    // The window is a part of it.
    let minutes = |minutes| Some(Ttl::After(minutes * MINUTE));
    assert_eq!(store.ttl("n").await.unwrap(), minutes(61));
    store.clock().advance(MINUTE);
    assert_eq!(store.load("n").or_load(down::<usize>).await.unwrap(), 1);
    // Views have the same.
    let view = Arc::new(View::of(Arc::clone(&store)));
    assert_eq!(view.load("n").or_load(down::<usize>).await.unwrap(), 1);
    assert_eq!(view.load_options(), store.load_options());
    // So has the short form, but for the time to live.
    let load = || async { Ok::<_, Error>(5_usize) };
    store.get_or_load("m", 2 * MINUTE, load).await.unwrap();
    assert_eq!(store.ttl("m").await.unwrap(), minutes(62));
    let other = store.load("o").options(&LoadOptions::new().ttl(HOUR));
    other.or_load(source.load()).await.unwrap();
    assert_eq!(store.ttl("o").await.unwrap(), minutes(60));
}

#[tokio::test]
async fn loads_are_futures_that_any_executor_takes() {
    let store = Store::new();
    let source = Source::default();
    drop(is_send(store.load("n").or_load(source.load())));
    drop(is_send(store.load_scoped("n").or_load(source.load())));
    let shared: Arc<dyn CacheBackend> = store.clone();
    drop(is_send(shared.load("n").or_load(source.load())));
    let borrowed: &dyn CacheBackend = &*store;
    let n = 7;
    let load = |_| async { Ok::<_, Error>(n + 1) };
    assert_eq!(
        is_send(borrowed.load_scoped("n").or_load(load))
            .await
            .unwrap(),
        8
    );
    assert_eq!(source.calls(), 0);
    nothing_is_left(&*store);
    // They are moved about before they are polled: what only a miss needs is not in them.
    for size in [
        size_of_val(&shared.load("n").or_load(source.load())),
        size_of_val(&shared.load_scoped("n").or_load(source.load())),
    ] {
        assert!(size <= 1_024, "{size}");
    }
}
