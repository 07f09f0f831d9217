//! Rows: codecs. They are those that are compiled in, seen through views of the backend, so they hold for every store that gives
//! back the bytes that it was given.

#[cfg(feature = "encryption")]
mod encryption;
#[cfg(feature = "zstd")]
mod zstd;

#[cfg(feature = "zstd")]
pub(super) use self::zstd::{bomb, compressed};
#[cfg(feature = "encryption")]
pub(super) use encryption::{changed, moved, planted, rotated, sealed};

use super::Harness;
use super::tools::{Context, Gate, Outcome, ensure, eq, fails};
use crate::backend::{CacheBackend, CacheBackendExt, Cacheable, Codec, Value};
use crate::error::Error;
use crate::time::Ttl;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(feature = "postcard")]
const POSTCARD: Option<fn() -> Codec> = Some(Codec::postcard);
#[cfg(not(feature = "postcard"))]
const POSTCARD: Option<fn() -> Codec> = None;
#[cfg(feature = "msgpack")]
const MSGPACK: Option<fn() -> Codec> = Some(Codec::msgpack);
#[cfg(not(feature = "msgpack"))]
const MSGPACK: Option<fn() -> Codec> = None;
#[cfg(feature = "zstd")]
const ZSTD: Option<fn(Codec, usize) -> Codec> = Some(Codec::zstd_above);
#[cfg(not(feature = "zstd"))]
const ZSTD: Option<fn(Codec, usize) -> Codec> = None;
#[cfg(feature = "encryption")]
const ENCRYPTED: Option<fn(Codec, u32) -> Codec> = Some(encryption::with_key);
#[cfg(not(feature = "encryption"))]
const ENCRYPTED: Option<fn(Codec, u32) -> Codec> = None;

/// The formats for any value.
fn formats() -> Vec<Codec> {
    let optional = [POSTCARD, MSGPACK].into_iter().flatten();
    std::iter::once(Codec::json())
        .chain(optional.map(|codec| codec()))
        .collect()
}

/// Codecs of which each writes a long text otherwise than all others. Only the first is plain JSON.
fn all() -> Vec<Codec> {
    let mut all = formats();
    all.push(Codec::bytes());
    let versions: Vec<Codec> = all.iter().map(|codec| codec.clone().version(7)).collect();
    all.extend(versions);
    for (codec, key) in [(Codec::json(), 1), (Codec::json(), 2), (Codec::bytes(), 1)] {
        all.extend(ENCRYPTED.map(|encrypted| encrypted(codec, key)));
    }
    all
}

/// `all`, and each of them with compression.
fn compressing() -> Vec<Codec> {
    let mut codecs = all();
    if let Some(zstd) = ZSTD {
        codecs.extend(all().into_iter().map(|codec| zstd(codec, 16)));
    }
    codecs
}

/// Written in each way, and read in each way.
async fn same<T>(backend: &dyn CacheBackend, codec: &Codec, value: T) -> Outcome
where
    T: Cacheable + PartialEq + Debug,
{
    let it = backend.with_codec(codec).make_strict();
    let some = || Some(value.clone());
    it.set("a", value.clone(), MINUTE).await?;
    eq(it.get::<T>("a").await?, some())?;
    eq(it.get_shared::<T>("a").await?.as_deref(), Some(&value))?;
    it.set_ref("b", &value, MINUTE).await?;
    it.set_many([("c", value.clone()), ("d", value.clone())], MINUTE)
        .await?;
    let many = it.get_many::<T>(&["d", "none", "c", "b"]).await?;
    eq(many, [some(), None, some(), some()])?;
    let load = || async { Ok::<_, Error>(value.clone()) };
    eq(it.get_or_load("e", MINUTE, load).await?, value.clone())?;
    eq(it.get::<T>("e").await?, some())?;
    let update = |found: Option<T>| ready(found.unwrap_or_else(|| value.clone()));
    for _ in 0..2 {
        eq(it.atomic_update("f", None, update).await?, value.clone())?;
    }
    eq(it.get::<T>("f").await?, some())?;
    eq(it.delete_many(&["a", "b", "c", "d", "e", "f"]).await?, 6)
}

/// Longer than what is compressed, and easily compressed.
fn text() -> String {
    "a text \0 \u{10FFFF} ".repeat(20)
}

pub(super) async fn round_trips<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    for codec in &compressing() {
        same(backend, codec, text()).await?;
        same(backend, codec, String::new()).await?;
        same(backend, codec, 7_u64).await?;
        same(backend, codec, i64::MIN).await?;
    }
    for format in &formats() {
        let zstd = ZSTD.map(|zstd| zstd(format.clone(), 16));
        let encrypted = ENCRYPTED.map(|encrypted| encrypted(format.clone(), 1));
        let codecs = std::iter::once(format.clone()).chain(zstd).chain(encrypted);
        for codec in &codecs.collect::<Vec<_>>() {
            same(backend, codec, (true, 'ü', -1.5, u64::MAX, Some(1_u8))).await?;
            same(backend, codec, vec![text(); 3]).await?;
            let map = BTreeMap::from([("a".to_owned(), vec![Some(1), None]), (text(), vec![])]);
            same(backend, codec, map).await?;
        }
    }
    let raw = (0..=255).chain([0, 0, b' ', b'\n', 0]).collect::<Vec<u8>>();
    same(backend, &Codec::bytes(), raw).await?;
    same(backend, &Codec::bytes(), [0_u8; 32]).await
}

/// Read by every codec but `by`, in every way, and still there.
async fn is_foreign(backend: &dyn CacheBackend, by: usize, key: &str) -> Outcome {
    let codecs = all();
    for (nth, codec) in codecs.iter().enumerate() {
        let it = backend.with_codec(codec);
        if nth == by {
            eq(it.get::<String>(key).await?, Some(text()))?;
            continue;
        }
        let named = |what: &str| format!("{what}: {codec:?} reads what {:?} wrote", codecs[by]);
        let got = it.get::<String>(key).await?;
        ensure(got.is_none(), || named("get"))?;
        let got = it.get_shared::<String>(key).await?;
        ensure(got.is_none(), || named("get_shared"))?;
        let got = it.get_many::<String>(&[key]).await?;
        ensure(got == [None], || named("get_many"))?;
        fails(it.strict().get::<String>(key).await, Error::is_decoding)?;
    }
    Ok(())
}

pub(super) async fn strangers<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    for (nth, codec) in all().iter().enumerate() {
        backend.with_codec(codec).set("key", text(), MINUTE).await?;
        is_foreign(backend, nth, "key").await?;
    }
    Ok(())
}

pub(super) async fn plain<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    // As the Python original writes it, and as a store has it that keeps values as they are.
    let mut values = vec![Value::encoded(json!(text()).to_string())];
    if backend.codec().is_none() {
        values.push(Value::new(text())?);
    }
    for value in values {
        backend.set_value("key", value, Ttl::Never).await?;
        for codec in &all()[1..] {
            let got = backend.with_codec(codec).get::<String>("key").await?;
            ensure(got.is_none(), || format!("{codec:?} reads plain JSON"))?;
        }
        let plain = backend.with_codec(&Codec::json());
        eq(plain.get("key").await?, Some(text()))?;
    }
    Ok(())
}

pub(super) async fn integers<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let bare: Vec<Codec> = compressing()
        .into_iter()
        .filter(|codec| !codec.encrypts())
        .collect();
    for codec in &bare {
        let it = backend.with_codec(codec);
        it.set("n", 41_u8, MINUTE).await?;
        it.set_ref("m", &41_u64, MINUTE).await?;
        eq(it.incr("n", MINUTE).await?, 42)?;
        eq(it.incr("m", MINUTE).await?, 42)?;
        for other in &bare {
            let other = backend.with_codec(other);
            eq(other.get("n").await?, Some(42_u64))?;
            eq(
                other
                    .get_many("n m".split(' ').collect::<Vec<_>>().as_slice())
                    .await?,
                [Some(42_i8); 2],
            )?;
            eq(other.get_shared::<u16>("n").await?.as_deref(), Some(&42))?;
        }
        let next = |n: Option<i64>| ready(n.unwrap_or(0) + 1);
        eq(it.atomic_update("n", None, next).await?, 43)?;
        eq(it.incr("n", MINUTE).await?, 44)?;
        eq(it.get::<i8>("n").await?, Some(44))?;
    }
    // Not of the integer types: only JSON says so little of them.
    for codec in &all()[1..] {
        eq(
            backend.with_codec(codec).get::<Option<u64>>("n").await?,
            None,
        )?;
    }
    Ok(())
}

pub(super) async fn versions<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    for format in &formats() {
        let version = |version| format.clone().version(version);
        backend
            .with_codec(&version(1))
            .set("key", text(), MINUTE)
            .await?;
        eq(
            backend.with_codec(&version(1)).get("key").await?,
            Some(text()),
        )?;
        for other in [0, 2, u32::MAX] {
            let other = version(other);
            let other = backend.with_codec(&other);
            let before = backend.undecodable().total();
            eq(other.get::<String>("key").await?, None)?;
            eq(backend.undecodable().total(), before + 1)?;
            let load = || async { Ok::<_, Error>("new".to_owned()) };
            let strict = other.strict().get_or_load("key", MINUTE, load).await;
            fails(strict, Error::is_decoding)?;
        }
        let next = version(2);
        let next = backend.with_codec(&next);
        let load = || async { Ok::<_, Error>("new".to_owned()) };
        eq(
            next.get_or_load("key", MINUTE, load).await?,
            "new".to_owned(),
        )?;
        eq(next.get("key").await?, Some("new".to_owned()))?;
    }
    Ok(())
}

pub(super) async fn hostile<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let header =
        |format, flags| [&[0xC1, b'N', format, flags, 0, 0, 0, 0][..], b"\"text\""].concat();
    let mut all_bytes = vec![
        vec![0xC1],
        vec![0xC1, b'N', 1],
        vec![0xC1; 100],
        vec![0xff; 100],
    ];
    for format in [0, 5, 0xff] {
        all_bytes.push(header(format, 0));
    }
    // JSON without anything that a header is for is not what any codec writes.
    all_bytes.push(header(1, 0));
    for flags in 1..=255 {
        all_bytes.push(header(1, flags));
        all_bytes.push(header(2, flags));
    }
    for bytes in all_bytes {
        backend
            .set_value("key", Value::encoded(bytes.clone()), Ttl::Never)
            .await?;
        for codec in &compressing() {
            let got = backend.with_codec(codec).get::<String>("key").await?;
            ensure(got.is_none(), || format!("{codec:?} reads {bytes:x?}"))?;
        }
        fails(backend.incr("key", Ttl::Never).await, Error::is_wrong_type)?;
    }
    Ok(())
}

pub(super) async fn spoils<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let raw = backend.with_codec(&Codec::bytes());
    raw.set_many([("a", b"\0\xff".to_vec()), ("c", vec![])], MINUTE)
        .await?;
    backend.set("b", "text", MINUTE).await?;
    backend.set("d", 4, MINUTE).await?;
    let keys = ["a", "b", "c", "d", "e"];
    let some = Some("text".to_owned());
    eq(
        backend.get_many::<String>(&keys).await?,
        [None, some, None, None, None],
    )?;
    eq(backend.undecodable().total(), 3)?;
    let raw = raw.get_many::<Vec<u8>>(&keys).await?;
    eq(
        raw,
        [Some(b"\0\xff".to_vec()), None, Some(vec![]), None, None],
    )
}

pub(super) async fn loads<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let codecs = all();
    for (codec, other) in codecs.iter().zip(codecs.iter().cycle().skip(1)) {
        backend.with_codec(other).set("key", text(), MINUTE).await?;
        let it = backend.with_codec(codec);
        for _ in 0..2 {
            let load = || async { Ok::<_, Error>("loaded".to_owned()) };
            eq(
                it.get_or_load("key", MINUTE, load).await?,
                "loaded".to_owned(),
            )?;
        }
        eq(it.get("key").await?, Some("loaded".to_owned()))?;
    }
    Ok(())
}

pub(super) async fn updates<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let codecs = all();
    for (codec, other) in codecs.iter().zip(codecs.iter().cycle().skip(1)) {
        let other = backend.with_codec(other);
        other.set("key", text(), MINUTE).await?;
        let update = |_: Option<String>| ready("updated".to_owned());
        let updated = backend
            .with_codec(codec)
            .atomic_update("key", None, update)
            .await;
        fails(updated, Error::is_decoding)?;
        fails(
            backend.with_codec(codec).incr("key", MINUTE).await,
            Error::is_wrong_type,
        )?;
        eq(other.get("key").await?, Some(text()))?;
    }
    Ok(())
}

pub(super) async fn waits<H: Harness>(it: Context<'_, H>) -> Outcome {
    for codec in formats()
        .into_iter()
        .chain(ENCRYPTED.map(|encrypted| encrypted(Codec::json(), 1)))
    {
        let (begun, go) = (Gate::default(), Gate::default());
        let (backend, gates) = (Arc::clone(&it.backend), (begun.clone(), go.clone()));
        let (leads, follows) = (codec.clone(), codec);
        let leader = it.spawn(async move {
            let load = || async {
                gates.0.open();
                gates.1.passed().await;
                Ok::<_, Error>(vec![text()])
            };
            backend
                .with_codec(&leads)
                .get_or_load("key", MINUTE, load)
                .await
        });
        begun.passed().await;
        let backend = Arc::clone(&it.backend);
        let follower = it.spawn(async move {
            let load = || async { Ok::<_, Error>(vec!["its own".to_owned()]) };
            let it = backend.with_codec(&follows);
            let mut waiting = std::pin::pin!(it.get_or_load("key", MINUTE, load));
            // Once it waits, the leader goes on.
            std::future::poll_fn(|context| {
                let polled = waiting.as_mut().poll(context);
                go.open();
                polled
            })
            .await
        });
        let loaded = leader.join().await.transpose()?;
        eq(loaded, Some(vec![text()]))?;
        eq(follower.join().await.transpose()?, Some(vec![text()]))?;
        it.backend.flush().await?;
    }
    Ok(())
}

pub(super) async fn refuses<H: Harness>(it: Context<'_, H>) -> Outcome {
    let raw = it.backend.with_codec(&Codec::bytes());
    raw.set("key", "old", MINUTE).await?;
    fails(raw.set("key", 1.5, MINUTE).await, Error::is_encoding)?;
    fails(
        raw.set_ref("key", &Some("a"), MINUTE).await,
        Error::is_encoding,
    )?;
    fails(
        raw.set("key", vec![1, 300], MINUTE).await,
        Error::is_encoding,
    )?;
    let load = || async { Ok::<_, Error>((1_u8, "a".to_owned())) };
    let loaded = raw.get_or_load("none", MINUTE, load).await;
    fails(loaded, Error::is_encoding)?;
    let many = [("a", Some(1_u8)), ("b", None)];
    fails(raw.set_many(many, MINUTE).await, Error::is_encoding)?;
    eq(raw.get("key").await?, Some("old".to_owned()))?;
    eq(raw.get::<String>("a").await?, None)?;
    // What JSON cannot say others can, to a certain depth.
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    for codec in &formats() {
        let it = it.backend.with_codec(codec);
        fails(
            it.set("key", deep.clone(), MINUTE).await,
            Error::is_encoding,
        )?;
    }
    for codec in &formats()[1..] {
        let it = it.backend.with_codec(codec).make_strict();
        it.set("key", BTreeMap::from([(1_u8, f64::NAN)]), MINUTE)
            .await?;
        let map = it.get::<BTreeMap<u8, f64>>("key").await?;
        ensure(map.is_some_and(|map| map[&1].is_nan()), || {
            "it changed".to_owned()
        })?;
    }
    Ok(())
}
