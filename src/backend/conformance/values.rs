//! Rows: values.

use super::Harness;
use super::tools::{Context, Outcome, ensure, eq, fails};
use crate::backend::{CacheBackend, CacheBackendExt, Cacheable, Value};
use crate::error::Error;
use crate::time::Ttl;
use serde_core::ser::{Serialize, Serializer};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

pub(super) async fn missing<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(it.backend.get::<String>("missing").await?, None)?;
    eq(it.backend.get_shared::<String>("missing").await?, None)?;
    eq(it.backend.ttl("missing").await?, None)
}

pub(super) async fn replaces<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", 1, Ttl::Never).await?;
    it.backend.set("key", "two", Ttl::Never).await?;
    eq(it.backend.get("key").await?, Some("two".to_owned()))
}

pub(super) async fn deletes<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(it.backend.delete("key").await?, false)?;
    it.backend.set("key", 1, Ttl::Never).await?;
    it.backend.set("other", 2, Ttl::Never).await?;
    eq(it.backend.delete("key").await?, true)?;
    eq(it.backend.delete("key").await?, false)?;
    eq(it.backend.get::<u8>("key").await?, None)?;
    eq(it.backend.get("other").await?, Some(2))
}

/// Stored as it is and read back as the same type.
async fn same<T>(backend: &dyn CacheBackend, value: T) -> Outcome
where
    T: Cacheable + PartialEq + Debug,
{
    backend.set("same", value.clone(), Ttl::Never).await?;
    eq(backend.get::<T>("same").await?, Some(value))
}

pub(super) async fn round_trips<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    same(backend, true).await?;
    same(backend, ()).await?;
    same(backend, 'ü').await?;
    same(backend, i8::MIN).await?;
    same(backend, i64::MIN).await?;
    same(backend, i64::MAX).await?;
    same(backend, u64::MAX).await?;
    same(backend, i128::MIN).await?;
    same(backend, u128::MAX).await?;
    same(backend, String::new()).await?;
    same(
        backend,
        "ünïcödé ✓ \u{10FFFF} \0 \n \" \\ \u{2028}".to_owned(),
    )
    .await?;
    same(backend, "\0 around \n\0".to_owned()).await?;
    same(backend, "123".to_owned()).await?;
    same(backend, "null".to_owned()).await?;
    same(backend, "{not json".to_owned()).await?;
    same(backend, None::<u8>).await?;
    same(backend, Some(vec![Some(1), None])).await?;
    same(backend, (1_u8, "a".to_owned(), [1.5, -2.0])).await?;
    same(
        backend,
        BTreeMap::from([("a".to_owned(), vec![1]), (String::new(), vec![])]),
    )
    .await?;
    same(backend, Arc::new("shared".to_owned())).await?;
    same(backend, std::time::Duration::from_nanos(1_000_000_001)).await?;
    let nested = json!({"a": null, "ü": [null, true, {"b": [1.5, -1, "x"]}], "": {}});
    same(backend, nested).await
}

pub(super) async fn floats<H: Harness>(it: Context<'_, H>) -> Outcome {
    let all = [
        0.0,
        0.1,
        1.0,
        1e16,
        123_456_789.123_456_79,
        f64::MAX,
        f64::MIN_POSITIVE,
        5e-324,
        0.300_000_000_000_000_04,
        9_007_199_254_740_993.0,
    ];
    for float in all.into_iter().flat_map(|float| [float, -float]) {
        it.backend.set("float", float, Ttl::Never).await?;
        let back = it.backend.get::<f64>("float").await?;
        eq(back.map(f64::to_bits), Some(float.to_bits()))?;
        // By way of JSON too.
        let back = it.backend.get::<serde_json::Value>("float").await?;
        eq(back.and_then(|it| it.as_f64()), Some(float))?;
    }
    same(&*it.backend, 0.1_f32).await?;
    same(&*it.backend, f32::MAX).await
}

pub(super) async fn converts<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    backend.set("tuple", (1, "one"), Ttl::Never).await?;
    eq(backend.get("tuple").await?, Some(json!([1, "one"])))?;
    backend.set("text", "text", Ttl::Never).await?;
    eq(backend.get("text").await?, Some(json!("text")))?;
    eq(backend.get("text").await?, Some(Some("text".to_owned())))?;
    backend.set("number", 7_u8, Ttl::Never).await?;
    eq(backend.get("number").await?, Some(7_i64))?;
    eq(backend.get("number").await?, Some(7.0_f64))?;
    eq(backend.get("number").await?, Some(Some(7_u64)))?;
    eq(backend.get("number").await?, Some(json!(7)))?;
    backend.set("none", None::<u8>, Ttl::Never).await?;
    eq(backend.get("none").await?, Some(json!(null)))?;
    eq(backend.get("none").await?, Some(None::<String>))?;
    let map = BTreeMap::from([("a".to_owned(), 1_u64)]);
    backend.set("map", json!({"a": 1}), Ttl::Never).await?;
    eq(backend.get("map").await?, Some(map))
}

pub(super) async fn wrong_type<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    backend.set("text", "12", Ttl::Never).await?;
    eq(backend.get::<u8>("text").await?, None)?;
    eq(backend.get_shared::<u8>("text").await?, None)?;
    eq(backend.get_many::<u8>(&["text"]).await?, [None])?;
    eq(backend.get("text").await?, Some("12".to_owned()))?;
    backend.set("number", 300, Ttl::Never).await?;
    eq(backend.get::<u8>("number").await?, None)?;
    eq(backend.get::<String>("number").await?, None)?;
    backend.set("tuple", (1, "two"), Ttl::Never).await?;
    eq(backend.get::<(u8, u8)>("tuple").await?, None)?;
    eq(backend.get("tuple").await?, Some((1, "two".to_owned())))?;
    eq(backend.undecodable().total(), 6)
}

pub(super) async fn strict<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    backend.set("text", "12", Ttl::Never).await?;
    let strict = backend.strict();
    fails(strict.get::<u8>("text").await, Error::is_decoding)?;
    fails(strict.get_shared::<u8>("text").await, Error::is_decoding)?;
    fails(strict.get_many::<u8>(&["text"]).await, Error::is_decoding)?;
    let load = || async { Ok::<_, Error>(7_u8) };
    let loaded = strict.get_or_load("text", Ttl::Never, load).await;
    fails(loaded, Error::is_decoding)?;
    eq(strict.get("text").await?, Some("12".to_owned()))?;
    eq(strict.get::<u8>("missing").await?, None)
}

/// Puts bytes there as another program would have.
async fn put(backend: &dyn CacheBackend, key: &str, bytes: &[u8]) -> Outcome {
    let value = Value::encoded(bytes);
    Ok(backend.set_value(key, value, Ttl::Never).await?)
}

pub(super) async fn not_json<H: Harness>(it: Context<'_, H>) -> Outcome {
    for text in ["plain-string-not-json", "", "12 apples", "{", "NaN", "ü ✓"] {
        put(&*it.backend, "raw", text.as_bytes()).await?;
        eq(it.backend.get("raw").await?, Some(text.to_owned()))?;
        eq(it.backend.get("raw").await?, Some(json!(text)))?;
        eq(it.backend.get::<u64>("raw").await?, None)?;
        fails(
            it.backend.incr("raw", Ttl::Never).await,
            Error::is_wrong_type,
        )?;
    }
    put(&*it.backend, "raw", b"\xff\x00").await?;
    eq(it.backend.get::<String>("raw").await?, None)
}

pub(super) async fn original<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let dict =
        br#"{"name": "Ana", "age": 30, "tags": ["a", null, true], "\u00fc": "\u2713", "f": 1.5}"#;
    put(backend, "dict", dict).await?;
    let want = json!({"name": "Ana", "age": 30, "tags": ["a", null, true], "ü": "✓", "f": 1.5});
    eq(backend.get("dict").await?, Some(want))?;
    put(backend, "str", br#""plain""#).await?;
    eq(backend.get("str").await?, Some("plain".to_owned()))?;
    put(backend, "counter", b"3").await?;
    eq(backend.get("counter").await?, Some(3_u8))?;
    eq(backend.incr("counter", Ttl::Never).await?, 4)
}

/// What serializes as bytes.
#[derive(Clone)]
struct Bytes;

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(b"bytes")
    }
}

pub(super) async fn refuses<H: Harness>(it: Context<'_, H>) -> Outcome {
    async fn refused<T>(backend: &dyn CacheBackend, value: T) -> Outcome
    where
        T: Serialize + Send + Sync + 'static,
    {
        backend.set("key", "old", Ttl::Never).await?;
        fails(
            backend.set("key", value, Ttl::Never).await,
            Error::is_encoding,
        )?;
        eq(backend.get("key").await?, Some("old".to_owned()))
    }
    let backend = &*it.backend;
    refused(backend, f64::NAN).await?;
    refused(backend, f32::INFINITY).await?;
    refused(backend, vec![Some(1.0), Some(f64::NEG_INFINITY)]).await?;
    refused(backend, BTreeMap::from([("a", (1, f64::NAN))])).await?;
    refused(backend, BTreeMap::from([(1, "one")])).await?;
    refused(backend, BTreeMap::from([(true, "one")])).await?;
    refused(backend, BTreeMap::from([((1, 2), "one")])).await?;
    refused(backend, vec![BTreeMap::from([(Some("a"), "one")])]).await?;
    refused(backend, Bytes).await?;
    refused(backend, Some(vec![Bytes])).await?;
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    refused(backend, deep).await
}

pub(super) async fn shared<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", vec![1, 2, 3], Ttl::Never).await?;
    let shared = it.backend.get_shared::<Vec<i32>>("key").await?;
    eq(shared, Some(Arc::new(vec![1, 2, 3])))?;
    let shared = it.backend.get_shared::<Vec<f64>>("key").await?;
    eq(shared, Some(Arc::new(vec![1.0, 2.0, 3.0])))
}

pub(super) async fn large<H: Harness>(it: Context<'_, H>) -> Outcome {
    let large = "ü".repeat(4 << 20);
    it.backend.set("large", large.clone(), Ttl::Never).await?;
    let back = it.backend.get::<String>("large").await?;
    ensure(back == Some(large), || "it changed".to_owned())
}
