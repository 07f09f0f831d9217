//! What is kept: what other reads and writes make of it, and what it is as bytes.

use super::*;
use nori_cache::{BackendFuture, Codec, Flights, ManualClock, MemoryCacheBackend, Ttl, Value};
use std::collections::HashMap;
use std::future::ready;
use std::sync::Mutex;

#[tokio::test]
async fn other_reads_see_it_while_it_is_fresh() {
    let store = Store::new();
    let load = || store.load("n").ttl(MINUTE).fail_safe(HOUR);
    let text = |_| async { Ok::<_, Error>("text".to_owned()) };
    load().or_load(text).await.unwrap();
    let reads = async || {
        let get = store.get::<String>("n").await.unwrap();
        let shared = store.get_shared::<String>("n").await.unwrap();
        let json = store.get::<serde_json::Value>("n").await.unwrap();
        let many = store.get_many::<String>(&["n"]).await.unwrap();
        assert_eq!(shared.as_deref(), get.as_ref());
        assert_eq!(json.is_some(), get.is_some());
        assert_eq!(many, std::slice::from_ref(&get));
        get
    };
    assert_eq!(reads().await.unwrap(), "text");
    assert_eq!(store.undecodable().total(), 0);
    // As another type it is what any value is.
    assert_eq!(store.get::<u8>("n").await.unwrap(), None);
    assert_eq!(store.undecodable().total(), 1);
    store.clock().advance(MINUTE - MS);
    assert_eq!(reads().await.unwrap(), "text");
    store.clock().advance(MS);
    assert_eq!(reads().await, None);
    assert_eq!(store.get::<u8>("n").await.unwrap(), None);
    assert_eq!(store.undecodable().total(), 1);
    assert!(store.raw("n").await.is_some());
}

#[tokio::test]
async fn updates_go_by_whether_it_is_fresh() {
    let store = Store::new();
    let kept = async |key: &'static str| {
        let one = |_| async { Ok::<_, Error>(1_u64) };
        let load = store.load(key).ttl(MINUTE).fail_safe(HOUR);
        load.or_load(one).await.unwrap();
    };
    kept("fresh").await;
    kept("expired").await;
    store.clock().advance(20_000 * MS);
    let add = |n: Option<u64>| ready(n.unwrap_or(100) + 1);
    assert_eq!(store.atomic_update("fresh", None, add).await.unwrap(), 2);
    // What is left of its fresh life, not of its life in the store.
    let left = Some(Ttl::After(40_000 * MS));
    assert_eq!(store.ttl("fresh").await.unwrap(), left);
    store.clock().advance(40_000 * MS);
    assert_eq!(
        store.atomic_update("expired", None, add).await.unwrap(),
        101
    );
    let default = Some(Ttl::After(Duration::from_secs(300)));
    assert_eq!(store.ttl("expired").await.unwrap(), default);
    // None is nothing.
    let none = |_| async { Ok::<Option<u64>, Error>(None) };
    let load = store
        .load("none")
        .negative_ttl(MINUTE)
        .or_load_optional(none);
    load.await.unwrap();
    assert_eq!(store.atomic_update("none", None, add).await.unwrap(), 101);
}

#[tokio::test]
async fn it_is_no_integer() {
    let store = Store::new();
    let one = |_| async { Ok::<_, Error>(1_u64) };
    let load = || store.load("n").ttl(MINUTE).fail_safe(HOUR).or_load(one);
    load().await.unwrap();
    assert_eq!(store.get("n").await.unwrap(), Some(1_u64));
    assert!(store.incr("n", MINUTE).await.unwrap_err().is_wrong_type());
    assert_eq!(load().await.unwrap(), 1);
    store.set("n", 5, MINUTE).await.unwrap();
    assert_eq!(store.incr("n", MINUTE).await.unwrap(), 6);
    assert_eq!(load().await.unwrap(), 6);
}

/// Keeps bytes, and knows of no codec: as a program's own store may.
#[derive(Debug)]
struct Bytes {
    map: Mutex<HashMap<String, Vec<u8>>>,
    clock: ManualClock,
    codec: Option<Codec>,
    flights: Flights,
}

impl Bytes {
    fn new(codec: Option<Codec>) -> Arc<Self> {
        Arc::new(Self {
            map: Mutex::default(),
            clock: ManualClock::new(),
            codec,
            flights: Flights::default(),
        })
    }

    fn found(&self, key: &str) -> Option<Value> {
        let bytes = self.map.lock().unwrap().get(key)?.clone();
        let value = Value::encoded(bytes);
        Some(match &self.codec {
            Some(codec) => codec.found(key, value),
            None => value,
        })
    }

    fn put(&self, key: &str, value: &Value, ttl: Ttl) -> Result<(), Error> {
        let value = match &self.codec {
            Some(codec) => codec.to_stored(key, value)?,
            None => value.clone(),
        };
        let mut map = self.map.lock().unwrap();
        match ttl == Ttl::After(Duration::ZERO) {
            true => map.remove(key),
            false => map.insert(key.to_owned(), value.encode()?.into_owned()),
        };
        Ok(())
    }
}

impl CacheBackend for Bytes {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        BackendFuture::ready(Ok(self.found(key)))
    }

    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::ready(self.put(key, &value, ttl))
    }

    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        BackendFuture::ready(Ok(self.map.lock().unwrap().remove(key).is_some()))
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.map.lock().unwrap().clear();
        BackendFuture::ready(Ok(()))
    }

    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        let sum = self.found(key).map_or(Ok(by), |value| value.plus(by));
        let put = sum.and_then(|sum| self.put(key, &Value::integer(sum), ttl).map(|()| sum));
        BackendFuture::ready(put)
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        let same = match (self.found(key), expected) {
            (Some(found), Some(expected)) => found.is_same(expected),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        if same && let Err(error) = self.put(key, &new, ttl.unwrap_or(Ttl::Never)) {
            return BackendFuture::ready(Err(error));
        }
        BackendFuture::ready(Ok(same))
    }

    fn value_ttl<'a>(&'a self, _: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        BackendFuture::ready(Ok(None))
    }

    fn codec(&self) -> Option<&Codec> {
        self.codec.as_ref()
    }

    fn manual_clock(&self) -> Option<&ManualClock> {
        Some(&self.clock)
    }

    fn flights(&self) -> &Flights {
        &self.flights
    }
}

/// All options that keep something, on a store that keeps bytes.
async fn keeps(store: Arc<Bytes>) {
    let load = || {
        let load = store.load("n").ttl(MINUTE).tags(["numbers"]);
        load.fail_safe(HOUR).negative_ttl(MINUTE)
    };
    let first = |cx: LoadContext<(u8, String)>| async move {
        cx.validator_is("v1");
        Ok::<_, Error>((1, "one".to_owned()))
    };
    load().or_load(first).await.unwrap();
    let bytes = store.map.lock().unwrap()["n"].clone();
    assert_eq!(bytes[..3], [0xC1, b'K', 2]);
    assert!(std::str::from_utf8(&bytes).is_err());
    let one = || Some((1_u8, "one".to_owned()));
    assert_eq!(store.get("n").await.unwrap(), one());
    store.clock.advance(MINUTE);
    assert_eq!(store.get::<(u8, String)>("n").await.unwrap(), None);
    let answer = load().answer_or_load(down::<(u8, String)>).await.unwrap();
    assert!(answer.outcome().is_stale());
    assert_eq!(Some(answer.into_value()), one());
    store.clock.advance(MINUTE);
    let same = |cx: LoadContext<(u8, String)>| async move {
        assert_eq!(cx.validator(), Some("v1"));
        assert_eq!(cx.stale_tags().collect::<Vec<_>>(), ["numbers"]);
        Ok::<_, Error>(cx.not_modified().unwrap())
    };
    load().or_load(same).await.unwrap();
    assert_eq!(store.get("n").await.unwrap(), one());
    // And that there is none.
    store.clock.advance(MINUTE);
    let none = |_| async { Ok::<Option<(u8, String)>, Error>(None) };
    for _ in 0..2 {
        let answer = load().answer_or_load_optional(none).await.unwrap();
        assert!(answer.value().is_none());
    }
    assert_eq!(store.load_counts().begun, 4);
    assert_eq!(store.get::<(u8, String)>("n").await.unwrap(), None);
    assert_eq!(store.undecodable().total(), 0);
    // An envelope that is not known is a miss, and is written over.
    for spoil in [2, 3] {
        let mut spoilt = bytes.clone();
        spoilt[spoil] = 0xff;
        store.map.lock().unwrap().insert("n".to_owned(), spoilt);
        let before = store.undecodable().total();
        assert_eq!(store.get::<(u8, String)>("n").await.unwrap(), None);
        assert_eq!(store.undecodable().total(), before + 1);
        let two = |_| async { Ok::<_, Error>((2_u8, "two".to_owned())) };
        assert_eq!(load().or_load(two).await.unwrap().0, 2);
    }
    nothing_is_left(&*store);
}

#[tokio::test]
async fn as_bytes_it_is_an_envelope_around_what_the_codec_writes() {
    keeps(Bytes::new(None)).await;
    keeps(Bytes::new(Some(Codec::json()))).await;
    keeps(Bytes::new(Some(Codec::json().version(7)))).await;
    #[cfg(feature = "postcard")]
    keeps(Bytes::new(Some(Codec::postcard()))).await;
    #[cfg(feature = "msgpack")]
    keeps(Bytes::new(Some(Codec::msgpack()))).await;
    #[cfg(feature = "zstd")]
    keeps(Bytes::new(Some(Codec::json().zstd_above(1)))).await;
    #[cfg(feature = "encryption")]
    {
        let keys = nori_cache::Keys::new(1, &[7; 32]);
        keeps(Bytes::new(Some(Codec::json().encrypted(keys)))).await;
    }
}

/// Integers, which codecs leave bare.
#[tokio::test]
async fn integers_are_kept_as_other_values_are() {
    for codec in [None, Some(Codec::json()), Some(Codec::bytes())] {
        let store = Bytes::new(codec);
        let load = || store.load("n").ttl(MINUTE).fail_safe(HOUR);
        let one = |_| async { Ok::<_, Error>(1_u64) };
        load().or_load(one).await.unwrap();
        assert_eq!(load().or_load(down::<u64>).await.unwrap(), 1);
        assert_eq!(store.get("n").await.unwrap(), Some(1_u64));
        assert!(store.incr("n", MINUTE).await.unwrap_err().is_wrong_type());
        store.clock.advance(MINUTE);
        assert_eq!(load().or_load(down::<u64>).await.unwrap(), 1);
    }
}

/// In an envelope of another, or in none, or with another time, an encrypted value does not open.
#[cfg(feature = "encryption")]
#[tokio::test]
async fn envelopes_of_encrypted_values_are_authenticated() {
    let keys = nori_cache::Keys::new(1, &[7; 32]);
    let store = Bytes::new(Some(Codec::json().encrypted(keys)));
    let text = |_| async { Ok::<_, Error>("secret".to_owned()) };
    let load = store.load("n").ttl(MINUTE).fail_safe(HOUR).tags(["tag"]);
    load.or_load(text).await.unwrap();
    let none = |_| async { Ok::<Option<String>, Error>(None) };
    let load = store
        .load("none")
        .negative_ttl(MINUTE)
        .or_load_optional(none);
    load.await.unwrap();
    store.set("plain", "secret", MINUTE).await.unwrap();
    let all = store.map.lock().unwrap().clone();
    let put = |bytes: &[u8]| {
        store
            .map
            .lock()
            .unwrap()
            .insert("n".to_owned(), bytes.to_vec());
    };
    let read = async || {
        let get = store.get::<String>("n").await.unwrap();
        let load = store.load("n").fail_safe(HOUR);
        let loaded = load
            .skip_write()
            .or_load_optional(async |_| Ok::<_, String>(Some("loaded".to_owned())));
        (get, loaded.await.unwrap())
    };
    let miss = || (None, Some("loaded".to_owned()));
    let honest = &all["n"];
    assert!(!honest.windows(6).any(|part| part == b"secret"));
    assert_eq!(read().await.0.as_deref(), Some("secret"));
    // Each byte of it.
    for at in 0..honest.len() {
        let mut bytes = honest.clone();
        bytes[at] ^= 1;
        put(&bytes);
        assert_eq!(read().await, miss(), "byte {at}");
    }
    let head = 20 + 1 + 2 + 3;
    put(&honest[head..]);
    assert_eq!(read().await, miss(), "without its envelope");
    put(&[&honest[..head], &all["plain"][..]].concat());
    assert_eq!(read().await, miss(), "a plain one in an envelope");
    put(&[&honest[..head], b"\"secret\""].concat());
    assert_eq!(read().await, miss(), "one in the clear");
    // Another's None.
    put(&all["none"]);
    assert_eq!(read().await, miss(), "another's none");
    let mut planted = all["none"].clone();
    planted.truncate(21);
    put(&[&planted[..], b"0"].concat());
    assert_eq!(read().await, miss(), "none in the clear");
    put(honest);
    assert_eq!(read().await.1.as_deref(), Some("secret"));
}

/// A memory backend with a codec, and a real clock.
#[tokio::test]
async fn in_memory_too() {
    for codec in [None, Some(Codec::json())] {
        let mut builder = MemoryCacheBackend::builder();
        if let Some(codec) = codec {
            builder = builder.codec(codec);
        }
        let backend = Arc::new(builder.build().unwrap());
        let load = || backend.load("n").fail_safe(HOUR);
        let one = |_| async { Ok::<_, Error>(vec![1_u8]) };
        // It is fresh for an hour, or has expired by the time that the clock has moved on.
        load().ttl(HOUR).or_load(one).await.unwrap();
        let hit = load().answer_or_load(down::<Vec<u8>>).await.unwrap();
        assert!(matches!(hit.outcome(), Outcome::Hit));
        assert_eq!(backend.get("n").await.unwrap(), Some(vec![1_u8]));
        let short = load().ttl(MS).skip_read().or_load(one);
        short.await.unwrap();
        let start = std::time::SystemTime::now();
        while start.elapsed().unwrap_or_default() < 2 * MS {
            std::thread::yield_now();
        }
        assert_eq!(backend.get::<Vec<u8>>("n").await.unwrap(), None);
        let stale = load().answer_or_load(down::<Vec<u8>>).await.unwrap();
        assert!(is_fail_safe(&stale, "the source is down"));
        assert_eq!(stale.into_value(), [1]);
        nothing_is_left(&*backend);
    }
}
