//! Tags in memory: what is removed by them and what is not, versions that get lost, stores that are down, and loads beside removals.

use nori_cache::{
    CacheBackend, CacheBackendExt, Codec, Error, LoadContext, MemoryCacheBackend, Outcome, Ttl,
    Value, View,
};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn backend() -> Arc<MemoryCacheBackend> {
    Arc::new(MemoryCacheBackend::new(10_000))
}

fn gets(
    value: u64,
) -> impl FnOnce(LoadContext<u64>) -> std::future::Ready<Result<u64, Error>> + Send + 'static {
    move |_| ready(Ok(value))
}

#[tokio::test]
async fn what_has_no_tags_is_stored_as_ever() {
    let backend = backend();
    backend.load("n").ttl(HOUR).or_load(gets(1)).await.unwrap();
    backend.set_tagged("m", 2_u64, HOUR, &[]).await.unwrap();
    assert_eq!(backend.len(), 2);
    assert_eq!(backend.incr("n", HOUR).await.unwrap(), 2);
    assert_eq!(backend.incr("m", HOUR).await.unwrap(), 3);
    backend
        .set_tagged("m", 4_u64, HOUR, &["tag"])
        .await
        .unwrap();
    assert_eq!(backend.len(), 3, "with the version of the tag");
    let error = backend.incr("m", HOUR).await.unwrap_err();
    assert!(error.is_wrong_type(), "{error}");
    assert_eq!(backend.get::<u64>("m").await.unwrap(), Some(4));
    backend.remove_by_tag("tag").await.unwrap();
    assert_eq!(backend.len(), 2, "and without");
    assert!(backend.delete("m").await.unwrap(), "it was there");
}

/// A version that the store has evicted, or lost: what had it is gone, and does not come back when there is a new one.
#[tokio::test]
async fn a_version_that_is_lost_takes_its_entries_with_it() {
    let backend = backend();
    for round in 0..3 {
        backend
            .set_tagged("a", round, HOUR, &["tag", "other"])
            .await
            .unwrap();
        assert_eq!(backend.get("a").await.unwrap(), Some(round));
        assert!(backend.delete_value("nori-cache:tag:tag").await.unwrap());
        assert_eq!(backend.get::<i32>("a").await.unwrap(), None);
        backend
            .set_tagged("b", round, HOUR, &["tag"])
            .await
            .unwrap();
        assert_eq!(backend.get::<i32>("a").await.unwrap(), None);
        assert_eq!(backend.get("b").await.unwrap(), Some(round));
        // What is no version counts as none, and is written over.
        let junk = Value::new("junk").unwrap();
        backend
            .set_value("nori-cache:tag:tag", junk, Ttl::Never)
            .await
            .unwrap();
        assert_eq!(backend.get::<i32>("b").await.unwrap(), None);
        backend
            .set_tagged("c", round, HOUR, &["tag"])
            .await
            .unwrap();
        assert_eq!(backend.get("c").await.unwrap(), Some(round));
        assert_eq!(backend.undecodable().total(), 0);
    }
}

/// In a store that is too small for it all: whatever is evicted, nothing that was removed is read.
#[tokio::test]
async fn a_store_that_evicts_versions_shows_nothing_that_was_removed() {
    let backend = Arc::new(MemoryCacheBackend::new(8));
    let mut hits = 0;
    for round in 0..2_000_u64 {
        let (key, tag) = (format!("k{}", round / 3 % 5), format!("t{}", round % 7));
        let load = backend.load_scoped(&key).ttl(HOUR).tags([&*tag, "all"]);
        let answer = load
            .answer_or_load(|_| ready(Ok::<_, Error>(round)))
            .await
            .unwrap();
        hits += u32::from(matches!(answer.outcome(), Outcome::Hit));
        if round.is_multiple_of(11) {
            backend.remove_by_tag("all").await.unwrap();
            for key in 0..5 {
                let found = backend.get::<u64>(&format!("k{key}")).await.unwrap();
                assert_eq!(found, None, "round {round}");
            }
        }
    }
    assert!(hits > 0);
}

#[tokio::test]
async fn versions_have_a_lifetime() {
    let clock = nori_cache::ManualClock::new();
    let backend = MemoryCacheBackend::builder()
        .clock(clock.clone())
        .build()
        .unwrap();
    backend
        .set_tagged("n", 1, Ttl::Never, &["tag"])
        .await
        .unwrap();
    clock.advance(30 * 24 * HOUR - Duration::from_millis(1));
    assert_eq!(backend.get("n").await.unwrap(), Some(1));
    clock.advance(Duration::from_millis(1));
    assert_eq!(backend.get::<i32>("n").await.unwrap(), None);
}

/// The versions of tags are looked up once a second, and every 64th time; what was removed is a miss at once for all that.
#[tokio::test]
async fn most_hits_look_no_version_up() {
    const HITS: u64 = 6_400;
    const TAGS: [&str; 4] = ["a", "b", "c", "d"];
    let (backend, began) = (backend(), Instant::now());
    backend.set_tagged("set", 1, HOUR, &TAGS).await.unwrap();
    let load = || backend.load("load").ttl(HOUR).tags(TAGS);
    load().or_load(gets(1)).await.unwrap();
    let before = backend.cache_stats().hits;
    for _ in 0..HITS / 4 {
        assert_eq!(backend.get("set").await.unwrap(), Some(1));
        assert_eq!(backend.get("load").await.unwrap(), Some(1_u64));
        assert_eq!(*backend.get_shared::<i32>("set").await.unwrap().unwrap(), 1);
        let found = backend.get_many::<u64>(&["load"]).await.unwrap();
        assert_eq!(found, [Some(1)]);
    }
    let looks = backend.cache_stats().hits - before;
    let passed = began.elapsed().as_secs() + 2;
    // Of both entries, each with four tags.
    assert!(looks <= HITS + 8 * (HITS / 64 + passed), "{looks} looks");
    for tag in TAGS {
        backend.set_tagged("set", 1, HOUR, &TAGS).await.unwrap();
        for _ in 0..10 {
            assert_eq!(backend.get("set").await.unwrap(), Some(1));
        }
        backend.remove_by_tag(tag).await.unwrap();
        assert_eq!(backend.get::<i32>("set").await.unwrap(), None);
        assert_eq!(backend.get_shared::<i32>("set").await.unwrap(), None);
        assert_eq!(backend.get_many::<i32>(&["set"]).await.unwrap(), [None]);
    }
}

/// The very value is in two stores: that its tags hold in one says nothing of the other.
#[tokio::test]
async fn what_is_known_of_tags_is_known_of_one_store() {
    let (one, other) = (backend(), backend());
    one.set_tagged("n", 1, HOUR, &["tag"]).await.unwrap();
    let versions = "nori-cache:tag:tag";
    for (from, to) in [(&one, &other), (&other, &one)] {
        for key in ["n", versions] {
            let value = from.get_value(key).await.unwrap().unwrap();
            to.set_value(key, value, Ttl::Never).await.unwrap();
        }
        for store in [from, to] {
            for _ in 0..3 {
                assert_eq!(store.get("n").await.unwrap(), Some(1));
            }
        }
        to.remove_by_tag("tag").await.unwrap();
        for _ in 0..3 {
            assert_eq!(to.get::<i32>("n").await.unwrap(), None);
            assert_eq!(from.get("n").await.unwrap(), Some(1));
        }
        let version = from.get_value(versions).await.unwrap().unwrap();
        to.set_value(versions, version, Ttl::Never).await.unwrap();
    }
}

/// What is removed is not there for anything.
#[tokio::test]
async fn nothing_is_made_of_what_has_been_removed() {
    let backend = backend();
    let load = || {
        backend
            .load("n")
            .ttl(MINUTE)
            .tags(["tag"])
            .fail_safe(HOUR)
            .eager_refresh(0.5)
    };
    let with_validator = |cx: LoadContext<u64>| {
        cx.validator_is("v1");
        ready(Ok::<_, Error>(1))
    };
    load().or_load(with_validator).await.unwrap();
    backend.remove_by_tag("tag").await.unwrap();
    let down = |_| ready(Err::<u64, _>("down".to_owned()));
    assert_eq!(load().or_load(down).await.unwrap_err(), "down");
    let sees_nothing = |cx: LoadContext<u64>| {
        assert_eq!(
            (cx.stale(), cx.validator(), cx.stale_tags().count()),
            (None, None, 0)
        );
        assert_eq!(cx.not_modified(), None);
        ready(Ok::<_, Error>(2))
    };
    // The failure is remembered for a while, but there is nothing to return.
    assert_eq!(load().or_load(sees_nothing).await.unwrap(), 2);
    assert_eq!(backend.get("n").await.unwrap(), Some(2_u64));
}

/// A value that its loader found unchanged keeps its tags.
#[tokio::test]
async fn what_is_not_modified_keeps_its_tags() {
    let backend = backend();
    backend
        .load("n")
        .ttl(HOUR)
        .tags(["tag"])
        .or_load(gets(1))
        .await
        .unwrap();
    let same = |cx: LoadContext<u64>| ready(Ok::<_, Error>(cx.not_modified().unwrap()));
    let load = backend.load("n").ttl(HOUR).skip_read();
    assert_eq!(load.or_load(same).await.unwrap(), 1);
    assert_eq!(backend.get::<u64>("n").await.unwrap(), Some(1));
    backend.remove_by_tag("tag").await.unwrap();
    assert_eq!(backend.get::<u64>("n").await.unwrap(), None);
}

#[tokio::test]
async fn that_there_is_no_value_has_tags_too() {
    let backend = backend();
    let load = || backend.load("n").negative_ttl(HOUR).tags(["tag"]);
    let none = |_| ready(Ok::<_, Error>(None::<u64>));
    assert_eq!(load().or_load_optional(none).await.unwrap(), None);
    let some = |_| ready(Ok::<_, Error>(Some(1)));
    assert_eq!(load().or_load_optional(some).await.unwrap(), None);
    backend.remove_by_tag("tag").await.unwrap();
    assert_eq!(load().or_load_optional(some).await.unwrap(), Some(1));
}

/// The same versions, with whatever codec somebody reads and writes.
#[tokio::test]
async fn views_share_versions() {
    let bytes = Codec::bytes();
    let stores = [
        backend(),
        Arc::new(
            MemoryCacheBackend::builder()
                .codec(Codec::json().version(3))
                .build()
                .unwrap(),
        ),
        Arc::new(
            MemoryCacheBackend::builder()
                .codec(Codec::bytes())
                .build()
                .unwrap(),
        ),
    ];
    for store in stores {
        let view = store.with_codec(&bytes);
        view.set_tagged("raw", vec![1_u8], HOUR, &["tag"])
            .await
            .unwrap();
        store
            .set_tagged("text", "text".to_owned(), HOUR, &["tag"])
            .await
            .unwrap();
        assert_eq!(view.get::<Vec<u8>>("raw").await.unwrap(), Some(vec![1]));
        assert_eq!(store.get::<String>("text").await.unwrap().unwrap(), "text");
        store.remove_by_tag("tag").await.unwrap();
        assert_eq!(view.get::<Vec<u8>>("raw").await.unwrap(), None);
        assert_eq!(store.get::<String>("text").await.unwrap(), None);
        view.set_tagged("raw", vec![2_u8], HOUR, &["tag"])
            .await
            .unwrap();
        assert_eq!(view.get::<Vec<u8>>("raw").await.unwrap(), Some(vec![2]));
        view.remove_by_tag("tag").await.unwrap();
        assert_eq!(view.get::<Vec<u8>>("raw").await.unwrap(), None);
    }
}

#[cfg(feature = "encryption")]
#[tokio::test]
async fn a_store_that_encrypts_has_its_versions_encrypted() {
    let keys = nori_cache::Keys::new(1, &[7; 32]);
    let codec = Codec::json().encrypted(keys);
    let store = MemoryCacheBackend::builder().codec(codec).build().unwrap();
    store.set_tagged("n", 1, HOUR, &["tag"]).await.unwrap();
    assert_eq!(store.get("n").await.unwrap(), Some(1));
    store.remove_by_tag("tag").await.unwrap();
    assert_eq!(store.get::<i32>("n").await.unwrap(), None);
}

#[tokio::test]
async fn namespaces_in_namespaces() {
    let backend: Arc<dyn CacheBackend> = backend();
    let outer = Arc::new(View::of(Arc::clone(&backend)).make_namespace("outer"));
    let inner = Arc::new(View::of(Arc::clone(&outer)).make_namespace("inner"));
    let strict = inner.strict();
    outer.load("o").ttl(HOUR).or_load(gets(1)).await.unwrap();
    inner
        .load("i")
        .ttl(HOUR)
        .tags(["tag"])
        .or_load(gets(2))
        .await
        .unwrap();
    strict.set("s", 3_u64, HOUR).await.unwrap();
    let read = async || backend.get_many::<u64>(&["o", "i", "s"]).await.unwrap();
    assert_eq!(read().await, [Some(1), Some(2), Some(3)]);
    inner.clear().await.unwrap();
    assert_eq!(read().await, [Some(1), None, None]);
    strict.set("s", 3_u64, HOUR).await.unwrap();
    outer.clear().await.unwrap();
    assert_eq!(read().await, [None, None, None]);
    // Seventeen with those of the namespaces.
    let tags: Vec<String> = (0..15).map(|nth| nth.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let error = inner.set_tagged("x", 1, HOUR, &tags).await.unwrap_err();
    assert!(error.is_invalid_config(), "{error}");
    let load = inner.load("x").tags(tags.iter().copied());
    assert!(load.or_load(gets(1)).await.unwrap_err().is_invalid_config());
    // A view that is no namespace clears all.
    backend.set("plain", 4_u64, HOUR).await.unwrap();
    View::of(&*backend).clear().await.unwrap();
    assert_eq!(backend.get::<u64>("plain").await.unwrap(), None);
}

/// Entries of an older version of this crate have tags, and no versions of them: nobody knows what was removed since.
#[tokio::test]
async fn tags_without_versions_are_as_good_as_removed() {
    let backend = MemoryCacheBackend::builder()
        .codec(Codec::json())
        .build()
        .unwrap();
    let ever = [0xFF; 8];
    let entry = |tags: &[u8]| {
        let head = [&b"\xC1K\x01\x00"[..], &[0; 8], &ever, tags].concat();
        Value::encoded([&head[..], b"7"].concat())
    };
    backend
        .set_value("plain", entry(b"\x00"), Ttl::Never)
        .await
        .unwrap();
    backend
        .set_value("tagged", entry(b"\x01\x00\x01t"), Ttl::Never)
        .await
        .unwrap();
    assert_eq!(backend.get("plain").await.unwrap(), Some(7));
    assert_eq!(backend.get::<i32>("tagged").await.unwrap(), None);
    let load = backend.load_scoped("tagged").fail_safe(HOUR).tags(["t"]);
    assert_eq!(load.or_load(gets(8)).await.unwrap(), 8);
    assert_eq!(backend.get("tagged").await.unwrap(), Some(8));
}

/// Whatever is asked while tags are removed: who begins when a removal has returned gets nothing that was loaded before it. With
/// updates, loads of many and namespaces, on threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_beside_removals() {
    const REMOVALS: u64 = 3_000;
    const READERS: u64 = 4;
    let backend = backend();
    let (source, removed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for reader in 0..READERS {
        let backend = Arc::clone(&backend);
        let (source, removed) = (Arc::clone(&source), Arc::clone(&removed));
        tasks.spawn(async move {
            let number = || {
                let source = Arc::clone(&source);
                async move {
                    let number = source.load(Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    Ok::<_, Error>(number)
                }
            };
            let namespace = backend.namespace("tag");
            let (mut reads, mut hits) = (0_u64, 0_u64);
            loop {
                let least = removed.load(Ordering::SeqCst);
                if least == REMOVALS && reads > 100 {
                    return (reads, hits);
                }
                reads += 1;
                tokio::task::yield_now().await;
                let key = ["a", "b", "c"][((reads + reader) % 3) as usize];
                let found = match reads % 5 {
                    0 => backend.get::<u64>(key).await.unwrap(),
                    1 => {
                        let load = backend.load(key).ttl(HOUR).tags(["tag"]).fail_safe(HOUR);
                        let source = Arc::clone(&source);
                        let load = load.answer_or_load(move |_: LoadContext<u64>| async move {
                            Ok::<_, Error>(source.load(Ordering::SeqCst))
                        });
                        let answer = load.await.unwrap();
                        hits += u64::from(matches!(answer.outcome(), Outcome::Hit));
                        Some(answer.into_value())
                    }
                    2 => Some(namespace.get_or_load(key, HOUR, number).await.unwrap()),
                    3 => backend.get_many::<u64>(&[key]).await.unwrap()[0],
                    _ => {
                        let load = |missing: Vec<&'static str>| {
                            let number = number();
                            async move { Ok::<_, Error>([(missing[0], number.await?)]) }
                        };
                        namespace
                            .get_or_load_many(&[key], HOUR, load)
                            .await
                            .unwrap()[0]
                    }
                };
                assert!(
                    found.is_none_or(|found| found >= least),
                    "{found:?} after {least}"
                );
            }
        });
    }
    for number in 1..=REMOVALS {
        source.store(number, Ordering::SeqCst);
        backend.remove_by_tag("tag").await.unwrap();
        removed.store(number, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
    let all = tasks.join_all().await;
    println!("{all:?} reads and hits beside {REMOVALS} removals");
}
