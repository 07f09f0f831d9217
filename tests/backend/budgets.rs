//! What values, counters and responses may take, and what they cannot take from each other.

use crate::watchdog::block_on;
use nori_cache::{
    CacheBackend, CacheBackendExt, Codec, ManualClock, MemoryCacheBackend,
    MemoryCacheBackendBuilder, Ttl, Value, View,
};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn build(builder: MemoryCacheBackendBuilder) -> MemoryCacheBackend {
    builder.build().unwrap()
}

fn set(backend: &MemoryCacheBackend, key: &str, value: impl Into<String>) {
    block_on(backend.set(key, value.into(), Ttl::Never)).unwrap();
}

fn incr(backend: &MemoryCacheBackend, key: &str) -> i64 {
    block_on(backend.incr(key, Ttl::Never)).unwrap()
}

/// Values that nobody asks for again, far more than there is room for.
fn crawl(backend: &MemoryCacheBackend) {
    for page in 0..2_000 {
        set(backend, &format!("page:{page}"), "crawled");
    }
}

#[test]
fn no_number_of_values_evicts_a_counter() {
    let backend = MemoryCacheBackend::new(100);
    for n in 0..50 {
        assert_eq!(incr(&backend, &format!("counter:{n}")), 1);
    }
    for round in 2..5 {
        crawl(&backend);
        assert_eq!(backend.len(), 100);
        for n in 0..50 {
            assert_eq!(incr(&backend, &format!("counter:{n}")), round);
        }
    }
}

#[test]
fn counters_beyond_their_places_are_like_values() {
    let backend = build(MemoryCacheBackend::builder().max_keys(100).counters(10));
    for n in 0..1_000 {
        incr(&backend, &format!("counter:{n}"));
    }
    assert_eq!(backend.len(), 100);
    crawl(&backend);
    for n in 0..1_000 {
        let counter = block_on(backend.get::<i64>(&format!("counter:{n}"))).unwrap();
        assert_eq!(counter.is_some(), n < 10, "{n}");
    }
    // And there are values, too.
    set(&backend, "value", "there");
    assert!(block_on(backend.get::<String>("value")).unwrap().is_some());
    // With none, all are.
    let backend = build(MemoryCacheBackend::builder().max_keys(100).counters(0));
    incr(&backend, "counter");
    crawl(&backend);
    assert_eq!(block_on(backend.get::<i64>("counter")).unwrap(), None);
}

/// What ends a counter, under the key "first".
type End = fn(&MemoryCacheBackend);

/// Whatever else comes to lie under a counter's key gives the place back.
#[test]
fn a_counter_that_is_none_any_more_gives_its_place_back() {
    let clock = ManualClock::new();
    let builder = MemoryCacheBackend::builder().max_keys(100).counters(1);
    let backend = build(builder.clock(clock.clone()));
    let ends: [(&str, End); 5] = [
        ("deleted", |backend| {
            assert!(block_on(backend.delete("first")).unwrap());
        }),
        ("set", |backend| set(backend, "first", "text")),
        ("updated", |backend| {
            let current = block_on(backend.get_value("first")).unwrap().unwrap();
            let new = Value::new("text").unwrap();
            let swapped = backend.compare_and_set("first", Some(&current), new, None);
            assert!(block_on(swapped).unwrap());
        }),
        ("flushed", |backend| block_on(backend.flush()).unwrap()),
        ("too large for a counter", |backend| {
            let large = block_on(backend.incr_by("first", i64::MAX - 10, Ttl::Never));
            assert_eq!(large.unwrap(), i64::MAX - 9);
        }),
    ];
    for (how, end) in ends {
        assert_eq!(incr(&backend, "first"), 1, "{how}");
        assert_eq!(incr(&backend, "second"), 1, "{how}");
        crawl(&backend);
        assert_eq!(incr(&backend, "first"), 2, "{how}");
        assert_eq!(incr(&backend, "second"), 1, "{how}: it had no place");
        block_on(backend.delete("second")).unwrap();
        block_on(backend.delete("first")).unwrap();
        incr(&backend, "first");
        end(&backend);
        assert_eq!(incr(&backend, "second"), 1, "{how}");
        crawl(&backend);
        assert_eq!(incr(&backend, "second"), 2, "{how}");
        block_on(backend.flush()).unwrap();
    }
    // One that expires.
    assert_eq!(block_on(backend.incr("first", MINUTE)).unwrap(), 1);
    clock.advance(MINUTE + Duration::from_millis(2));
    crawl(&backend);
    assert_eq!(incr(&backend, "second"), 1);
    crawl(&backend);
    assert_eq!(incr(&backend, "second"), 2);
}

/// A number that was set becomes a counter when it is incremented.
#[test]
fn a_number_that_is_incremented_is_a_counter() {
    let backend = MemoryCacheBackend::new(100);
    block_on(backend.set("n", 5, Ttl::Never)).unwrap();
    assert_eq!(incr(&backend, "n"), 6);
    crawl(&backend);
    assert_eq!(incr(&backend, "n"), 7);
    // An update leaves it one.
    let add = |n: Option<i64>| ready(n.unwrap_or(0) + 1);
    assert_eq!(block_on(backend.atomic_update("n", None, add)).unwrap(), 8);
    crawl(&backend);
    assert_eq!(incr(&backend, "n"), 9);
}

#[test]
fn bytes_are_bounded() {
    const KIB: usize = 1 << 10;
    let backend = build(MemoryCacheBackend::builder().max_bytes(1 << 20));
    for n in 0..100 {
        set(&backend, &format!("key:{n}"), "x".repeat(100 * KIB));
        assert!(backend.bytes() <= 1 << 20);
    }
    assert_eq!(backend.len(), 10);
    assert!(backend.bytes() > 10 * 100 * KIB as u64);
    // The others made room.
    let newest = block_on(backend.get::<String>("key:99")).unwrap();
    assert!(newest.is_some());
    // One that is too large is not kept, and what it was to replace is no longer true.
    set(&backend, "key:99", "x".repeat(2 << 20));
    assert_eq!(block_on(backend.get::<String>("key:99")).unwrap(), None);
    assert_eq!(backend.len(), 9);
    // Counters take none.
    let before = backend.bytes();
    for n in 0..1_000 {
        incr(&backend, &format!("counter:{n}"));
    }
    assert_eq!(backend.bytes(), before);
    block_on(backend.flush()).unwrap();
    assert_eq!((backend.bytes(), backend.len()), (0, 0));
}

/// What an estimate is to what the value has as JSON.
#[test]
fn sizes_are_about_those_of_json() {
    #[derive(serde::Serialize, Clone)]
    struct User {
        name: String,
        tags: Vec<&'static str>,
        score: f64,
        parent: Option<Box<User>>,
        kind: Kind,
    }
    #[derive(serde::Serialize, Clone)]
    enum Kind {
        Plain,
        Named { name: String },
        Pair(u8, u8),
    }
    let user = |parent: Option<User>, kind| User {
        name: "Ana Bolena".to_owned(),
        tags: vec!["queen", "of", "England"],
        score: 0.123_456,
        parent: parent.map(Box::new),
        kind,
    };
    let backend = MemoryCacheBackend::new(100);
    let parent = user(
        None,
        Kind::Named {
            name: "x".repeat(100),
        },
    );
    let users: Vec<User> = vec![
        user(Some(parent), Kind::Plain),
        user(None, Kind::Pair(1, 2)),
    ];
    let maps = std::collections::BTreeMap::from([("key".repeat(20), "value".repeat(50))]);
    let check = |name: &str, json: usize| {
        let size = backend.bytes() as usize - name.len();
        let (least, most) = (json / 2, json * 2);
        assert!(
            (least..=most).contains(&size),
            "{name}: {size}, and {json} as JSON"
        );
        block_on(backend.flush()).unwrap();
    };
    let json = serde_json::to_string(&users).unwrap().len();
    block_on(backend.set("users", users, Ttl::Never)).unwrap();
    check("users", json);
    let json = serde_json::to_string(&maps).unwrap().len();
    block_on(backend.set("maps", maps, Ttl::Never)).unwrap();
    check("maps", json);
    block_on(backend.set("text", "x".repeat(1_000), Ttl::Never)).unwrap();
    check("text", 1_002);
    block_on(backend.set("literal", "of ten ...", Ttl::Never)).unwrap();
    check("literal", 12);
    block_on(backend.set("numbers", vec![1_234_567_u32; 1_000], Ttl::Never)).unwrap();
    check("numbers", 8_001);
    // Of what is encoded it is no estimate.
    let encoded = build(MemoryCacheBackend::builder().codec(Codec::json()));
    block_on(encoded.set("pair", (1, "one"), Ttl::Never)).unwrap();
    assert_eq!(
        encoded.bytes(),
        ("pair".len() + r#"[1,"one"]"#.len()) as u64
    );
}

/// Threads that make counters of values and values of counters, where both have too little room: increments that are acknowledged
/// while nobody writes over them are there.
#[test]
fn threads_that_change_what_lies_under_keys() {
    let backend = build(
        MemoryCacheBackend::builder()
            .max_keys(64)
            .counters(16)
            .max_bytes(4_096),
    );
    let kept = AtomicU64::new(0);
    for n in 0..8 {
        assert_eq!(incr(&backend, &format!("kept:{n}")), 1);
    }
    thread::scope(|scope| {
        for own in 0..4_u64 {
            let (backend, kept) = (&backend, &kept);
            scope.spawn(move || {
                for round in 0..2_000_u64 {
                    let key = format!("any:{}", (round * 7 + own) % 100);
                    match round % 5 {
                        0 => set(backend, &key, "x".repeat(100)),
                        1 => {
                            // A text is no number.
                            let _ = block_on(backend.incr(&key, Ttl::Never));
                        }
                        2 => _ = block_on(backend.delete(&key)).unwrap(),
                        3 => {
                            let update = |_: Option<String>| ready("new".to_owned());
                            let _ = block_on(backend.atomic_update(&key, None, update));
                        }
                        _ => {
                            incr(backend, &format!("kept:{}", round % 8));
                            kept.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    assert!(backend.bytes() <= 4_096 && backend.len() <= 64);
                }
            });
        }
    });
    let sum: i64 = (0..8).map(|n| incr(&backend, &format!("kept:{n}"))).sum();
    assert_eq!(sum as u64, kept.load(Ordering::SeqCst) + 16);
}

#[test]
fn responses_apart() {
    let builder = MemoryCacheBackend::builder()
        .max_keys(10)
        .responses(5, 1_000);
    let backend = Arc::new(build(builder));
    let responses = backend.for_responses().unwrap();
    block_on(responses.set("page", "x".repeat(100), Ttl::Never)).unwrap();
    set(&backend, "page", "value");
    crawl(&backend);
    let page = block_on(responses.get::<String>("page")).unwrap();
    assert_eq!(page.unwrap().len(), 100);
    for n in 0..100 {
        block_on(responses.set(&format!("page:{n}"), "x".repeat(400), Ttl::Never)).unwrap();
    }
    assert_eq!(block_on(responses.get::<String>("page")).unwrap(), None);
    assert_eq!(backend.len(), 10);
    // Through views, too, and by their codec.
    let view = View::of(Arc::clone(&backend) as Arc<dyn CacheBackend>);
    let view = view.use_codec(&Codec::json().version(2));
    let same = view.for_responses().unwrap();
    block_on(same.set("seen", 7, Ttl::Never)).unwrap();
    assert_eq!(block_on(responses.get::<u8>("seen")).unwrap(), Some(7));
    assert!(format!("{:?}", same.codec().unwrap()).contains("version: 2"));
    block_on(backend.flush()).unwrap();
    assert_eq!(block_on(responses.get::<u8>("seen")).unwrap(), None);
    block_on(backend.close()).unwrap();
    assert!(
        block_on(responses.get::<u8>("seen"))
            .unwrap_err()
            .is_closed()
    );
    assert!(MemoryCacheBackend::new(10).for_responses().is_none());
}

#[test]
fn settings() {
    let message = |builder: MemoryCacheBackendBuilder| {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_config());
        error.to_string()
    };
    let builder = || MemoryCacheBackend::builder().max_keys(10);
    assert_eq!(
        message(builder().max_bytes(0)),
        "max_bytes is 0; it must be at least 1"
    );
    assert_eq!(
        message(builder().counters(10)),
        "counters is 10; it must be less than max_keys, which is 10"
    );
    assert_eq!(
        message(builder().responses(0, 1)),
        "responses is 0 keys; it must be at least 1"
    );
    assert_eq!(
        message(builder().responses(1, 0)),
        "responses is 0 bytes; it must be at least 1"
    );
    for most in [0, 1, 9] {
        build(builder().counters(most).max_bytes(u64::MAX));
    }
    build(MemoryCacheBackend::builder().max_keys(1));
}

#[cfg(feature = "global")]
#[test]
fn settings_of_the_process() {
    use nori_cache::Config;
    let read = |text: &str| {
        let text = text.to_owned();
        Config::from_variables(move |name| (name == "CACHE_MAX_BYTES").then(|| text.clone()))
    };
    let by_hand = Config::default().max_bytes(77);
    assert_eq!(format!("{:?}", read("77").unwrap()), format!("{by_hand:?}"));
    assert!(
        read("0")
            .unwrap_err()
            .to_string()
            .contains("CACHE_MAX_BYTES")
    );
    let error = Config::default().max_bytes(0).build().unwrap_err();
    assert!(error.to_string().starts_with("CACHE_MAX_BYTES is 0"));
    let error = Config::default()
        .max_keys(5)
        .counters(5)
        .build()
        .unwrap_err();
    assert!(
        error.to_string().starts_with("CACHE_COUNTERS is 5"),
        "{error}"
    );
    let small = Config::default().max_bytes(100).build().unwrap();
    block_on(small.set("k", "x".repeat(101), Ttl::Never)).unwrap();
    assert_eq!(block_on(small.get::<String>("k")).unwrap(), None);
}
