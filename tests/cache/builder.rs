//! The builder: what it sets, and what it refuses.

use std::sync::Arc;
use std::time::Duration;

use nori_cache::{Cache, Error, ManualClock, Ttl};

const fn is_send_sync_clone<T: Send + Sync + Clone>() {}
const _: () = is_send_sync_clone::<Cache<String, Arc<str>>>();
const _: () = is_send_sync_clone::<Cache<u64, Vec<u8>, crate::support::Identity>>();
const fn is_send_sync_error<T: std::error::Error + Send + Sync + 'static>() {}
const _: () = is_send_sync_error::<Error>();

#[test]
fn the_builder_sets_what_it_says() {
    let cache: Cache<u64, u64> = Cache::builder().max_keys(4_096).shards(4).build().unwrap();
    assert_eq!((cache.max_keys(), cache.shards()), (4_096, 4));
    cache.insert(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::Never));

    let cache: Cache<u64, u64> = Cache::builder().build().unwrap();
    assert_eq!(cache.max_keys(), 10_000);
    assert!(cache.shards().is_power_of_two());
    assert!(cache.shards() * 64 <= 10_000, "at least 64 keys a shard");

    let small: Cache<u64, u64> = Cache::builder().max_keys(64).build().unwrap();
    assert_eq!(small.shards(), 1, "a small cache is one exact LRU");
    let tiny: Cache<u64, u64> = Cache::builder().max_keys(1).build().unwrap();
    assert_eq!(tiny.shards(), 1);

    let clock = ManualClock::new();
    let cache: Cache<u64, u64, crate::support::Identity> = Cache::builder()
        .hasher(crate::support::Identity)
        .ttl(Ttl::After(Duration::from_secs(3)))
        .clock(clock.clone())
        .build()
        .unwrap();
    cache.insert(1, 1);
    assert_eq!(cache.ttl(&1), Some(Ttl::After(Duration::from_secs(3))));
    assert_eq!(cache.get(&1), Some(1));

    let cache = Cache::<u32, String>::builder().build().unwrap();
    cache.insert(1, "one".to_owned());
    assert_eq!(cache.get(&1).as_deref(), Some("one"));
}

/// The error of `build()` for this many keys and shards.
fn refused(max_keys: usize, shards: Option<usize>) -> Error {
    let mut builder = Cache::<u64, u64>::builder().max_keys(max_keys);
    if let Some(shards) = shards {
        builder = builder.shards(shards);
    }
    match builder.build() {
        Ok(_) => panic!("max_keys {max_keys}, shards {shards:?} was accepted"),
        Err(error) => error,
    }
}

#[test]
fn bad_input_is_a_typed_error_that_says_what_is_allowed() {
    let error = refused(0, None);
    assert!(error.is_invalid_config());
    let text = error.to_string();
    assert!(text.contains("max_keys"), "{text}");
    assert!(
        text.contains('0') && text.contains('1'),
        "given and least allowed: {text}"
    );

    for shards in [
        0,
        3,
        6,
        1_000,
        (1 << 20) + 1,
        usize::MAX,
        1 << (usize::BITS - 1),
    ] {
        let error = refused(1 << 20, Some(shards));
        assert!(error.is_invalid_config());
        let text = error.to_string();
        assert!(text.contains("shards"), "{text}");
        assert!(text.contains(&shards.to_string()), "what was given: {text}");
        assert!(text.contains("power of two"), "what is allowed: {text}");
    }
}

#[test]
fn a_cache_whose_entries_would_never_live_is_refused() {
    let built = Cache::<u64, u64>::builder().ttl(Duration::ZERO).build();
    let error = built.expect_err("a default ttl of zero was accepted");
    assert!(error.is_invalid_config());
    assert!(error.to_string().contains("ttl"), "{error}");
}

#[test]
fn an_absurd_max_keys_is_refused_or_costs_little_up_front() {
    for max_keys in [1 << 34, 1 << 40, usize::MAX / 2, usize::MAX] {
        match Cache::<u64, u64>::builder().max_keys(max_keys).build() {
            Ok(cache) => {
                cache.insert(1, 2);
                cache.insert_with_ttl(2, 3, Duration::from_secs(60));
                assert_eq!((cache.get(&1), cache.get(&2)), (Some(2), Some(3)));
                assert_eq!(cache.max_keys(), max_keys);
            }
            Err(error) => {
                assert!(error.is_invalid_config());
                let text = error.to_string();
                assert!(text.contains("max_keys"), "{text}");
                assert!(text.contains(&max_keys.to_string()), "{text}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "max_keys")]
fn new_panics_on_zero() {
    let _ = Cache::<u64, u64>::new(0);
}
