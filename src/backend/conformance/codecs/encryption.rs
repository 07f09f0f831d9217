//! Rows: encryption.

use super::super::Harness;
use super::super::tools::{Context, Outcome, ensure, eq, fails};
use super::{MINUTE, formats};
use crate::backend::{CacheBackend, CacheBackendExt, Codec, Keys, Value, View};
use crate::error::Error;
use crate::time::Ttl;
use std::borrow::Cow;

/// A key that follows from its id.
fn key(id: u32) -> [u8; 32] {
    let mut key = [0x5A; 32];
    key[..4].copy_from_slice(&id.to_be_bytes());
    key
}

pub(super) fn with_key(codec: Codec, id: u32) -> Codec {
    codec.encrypted(Keys::new(id, &key(id)))
}

/// What is in the store.
async fn stored(backend: &dyn CacheBackend, key: &str) -> Result<Vec<u8>, Error> {
    let value = backend.get_value(key).await?;
    value.map_or(Ok(Vec::new()), |value| value.encode().map(Cow::into_owned))
}

async fn put(backend: &dyn CacheBackend, key: &str, bytes: Vec<u8>) -> Outcome {
    let value = Value::encoded(bytes);
    Ok(backend.set_value(key, value, Ttl::Never).await?)
}

const SECRET: &str = "correct horse battery staple";

pub(in super::super) async fn sealed<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    for format in formats() {
        let codec = with_key(format, 1);
        let it = backend.with_codec(&codec);
        it.set("key", SECRET, MINUTE).await?;
        let first = stored(backend, "key").await?;
        let shows = first.windows(7).any(|part| part == b"battery");
        ensure(!shows && !first.is_empty(), || "it shows".to_owned())?;
        it.set("key", SECRET, MINUTE).await?;
        let second = stored(backend, "key").await?;
        ensure(first != second, || "the same bytes twice".to_owned())?;
        // A number that is set is a secret, too.
        it.set("n", 41_u8, MINUTE).await?;
        eq(it.get("n").await?, Some(41_u64))?;
        fails(it.incr("n", MINUTE).await, Error::is_wrong_type)?;
        eq(
            backend.with_codec(&Codec::json()).get::<u8>("n").await?,
            None,
        )?;
        // Errors quote nothing.
        let error = it.strict().get::<(String, u64)>("key").await;
        ensure(!format!("{error:?}").contains("battery"), || {
            format!("{error:?}")
        })?;
        fails(error, Error::is_decoding)?;
    }
    Ok(())
}

pub(in super::super) async fn moved<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let codec = with_key(Codec::json(), 1);
    let view = backend.with_codec(&codec);
    view.set_many([("a", SECRET), ("b", "other")], MINUTE)
        .await?;
    put(backend, "b", stored(backend, "a").await?).await?;
    let before = backend.undecodable().forged;
    eq(view.get::<String>("b").await?, None)?;
    eq(backend.undecodable().forged, before + 1)?;
    fails(view.strict().get::<String>("b").await, Error::is_decoding)?;
    eq(view.get("a").await?, Some(SECRET.to_owned()))?;
    // Another cache's on the same server, as its prefix says.
    let other = View::of(backend).use_codec(&codec);
    eq(other.get("a").await?, Some(SECRET.to_owned()))
}

pub(in super::super) async fn changed<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let codec = with_key(Codec::json(), 1);
    let view = backend.with_codec(&codec);
    view.set("key", SECRET, MINUTE).await?;
    let honest = stored(backend, "key").await?;
    for at in 0..honest.len() {
        for change in [1, 0x80] {
            let mut bytes = honest.clone();
            bytes[at] ^= change;
            put(backend, "key", bytes).await?;
            let got = view.get::<String>("key").await?;
            ensure(got.is_none(), || format!("byte {at}: {got:?}"))?;
        }
        put(backend, "key", honest[..at].to_vec()).await?;
        let got = view.get::<String>("key").await?;
        ensure(got.is_none(), || format!("{at} bytes: {got:?}"))?;
    }
    put(backend, "key", [&honest[..], b"x"].concat()).await?;
    eq(view.get::<String>("key").await?, None)?;
    put(backend, "key", honest).await?;
    eq(view.get("key").await?, Some(SECRET.to_owned()))
}

pub(in super::super) async fn rotated<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let old = with_key(Codec::json(), 1);
    let both = Codec::json().encrypted(Keys::new(2, &key(2)).and(1, &key(1))?);
    let new = with_key(Codec::json(), 2);
    let [old, both, new] = [&old, &both, &new].map(|codec| backend.with_codec(codec));
    old.set("a", SECRET, MINUTE).await?;
    both.set("b", SECRET, MINUTE).await?;
    let some = || Some(SECRET.to_owned());
    eq(
        both.get_many::<String>(&["a", "b"]).await?,
        [some(), some()],
    )?;
    let before = backend.undecodable().unknown_key;
    eq(new.get_many::<String>(&["a", "b"]).await?, [None, some()])?;
    eq(old.get_many::<String>(&["a", "b"]).await?, [some(), None])?;
    eq(backend.undecodable().unknown_key, before + 2)?;
    // The same id for another key.
    let wrong = Codec::json().encrypted(Keys::new(1, &key(2)));
    eq(backend.with_codec(&wrong).get::<String>("a").await?, None)
}

pub(in super::super) async fn planted<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let codec = with_key(Codec::json(), 1);
    let view = backend.with_codec(&codec);
    eq(view.incr_by("n", 5, MINUTE).await?, 5)?;
    eq(view.get::<i64>("n").await?, None)?;
    eq(view.get_shared::<i64>("n").await?, None)?;
    eq(view.get_many::<i64>(&["n"]).await?, [None])?;
    fails(view.strict().get::<i64>("n").await, Error::is_decoding)?;
    let update = |n: Option<i64>| std::future::ready(n.unwrap_or(0));
    fails(
        view.atomic_update("n", None, update).await,
        Error::is_decoding,
    )?;
    eq(view.incr_by("n", 0, MINUTE).await?, 5)?;
    eq(backend.with_codec(&Codec::json()).get("n").await?, Some(5))?;
    // A load takes the place of what is no value of its own.
    let load = || async { Ok::<_, Error>(9_i64) };
    eq(view.get_or_load("n", MINUTE, load).await?, 9)?;
    eq(view.get("n").await?, Some(9_i64))
}
