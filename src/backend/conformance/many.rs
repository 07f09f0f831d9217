//! Rows: many at once.

use super::Harness;
use super::tools::{Context, Outcome, ensure, eq, fails};
use crate::backend::CacheBackendExt;
use crate::error::Error;
use crate::time::Ttl;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn round_trip<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set_many([("a", 1), ("b", 2)], MINUTE).await?;
    eq(
        it.backend.get_many(&["b", "x", "a"]).await?,
        [Some(2), None, Some(1)],
    )?;
    eq(it.backend.get("a").await?, Some(1))?;
    eq(it.backend.delete_many(&["a", "x", "b"]).await?, 2)?;
    eq(it.backend.get_many::<u8>(&["a", "b"]).await?, [None, None])
}

pub(super) async fn counters<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.incr_by("n", 5, MINUTE).await?;
    it.backend.set("s", 6, MINUTE).await?;
    eq(
        it.backend.get_many(&["n", "s"]).await?,
        [Some(5_u8), Some(6)],
    )
}

pub(super) async fn empty<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(it.backend.get_many::<u8>(&[]).await?, [])?;
    it.backend.set_many::<u8>([], MINUTE).await?;
    eq(it.backend.delete_many(&[]).await?, 0)
}

pub(super) async fn duplicates<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend
        .set_many([("a", 1), ("b", 2), ("a", 3)], MINUTE)
        .await?;
    eq(
        it.backend.get_many(&["a", "a", "b"]).await?,
        [Some(3), Some(3), Some(2)],
    )?;
    eq(it.backend.delete_many(&["a", "a"]).await?, 1)
}

pub(super) async fn refuses<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("a", "old", MINUTE).await?;
    let entries = [("a", 1.0), ("b", f64::NAN)];
    let error = it.backend.set_many(entries, MINUTE).await;
    fails(error, Error::is_encoding)?;
    eq(it.backend.get("a").await?, Some("old".to_owned()))?;
    eq(it.backend.get::<f64>("b").await?, None)
}

pub(super) async fn ttl<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set_many([("a", 1), ("b", 2)], MINUTE).await?;
    it.near(it.backend.ttl("a").await?, MINUTE)?;
    it.backend.set_many([("a", 1)], Ttl::Never).await?;
    eq(it.backend.ttl("a").await?, Some(Ttl::Never))?;
    it.backend
        .set_many([("a", 1), ("b", 2)], Duration::ZERO)
        .await?;
    eq(it.backend.get_many::<u8>(&["a", "b"]).await?, [None, None])
}

pub(super) async fn thousands<H: Harness>(it: Context<'_, H>) -> Outcome {
    let keys: Vec<String> = (0..5_000).map(|n| format!("key:{n}")).collect();
    let slices: Vec<&str> = keys.iter().map(String::as_str).collect();
    let entries = slices.iter().copied().zip(0_u32..);
    it.backend.set_many(entries, MINUTE).await?;
    let all = it.backend.get_many::<u32>(&slices).await?;
    ensure(all.into_iter().eq((0..5_000).map(Some)), || {
        "some are missing or in another's place".to_owned()
    })?;
    eq(it.backend.delete_many(&slices).await?, 5_000)
}
