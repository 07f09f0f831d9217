//! Rows: times to live.

use super::Harness;
use super::tools::{Context, Outcome, eq};
use crate::backend::CacheBackendExt;
use crate::time::Ttl;
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(40);
const LONG: Duration = Duration::from_secs(60);

pub(super) async fn expires<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("short", 1, SHORT).await?;
    it.backend.set("long", 2, LONG).await?;
    it.backend.incr_by("counter", 7, SHORT).await?;
    it.advance(SHORT + Duration::from_millis(2)).await;
    eq(it.backend.get::<u8>("short").await?, None)?;
    eq(it.backend.get_shared::<u8>("short").await?, None)?;
    eq(
        it.backend.get_many::<u8>(&["short", "long"]).await?,
        [None, Some(2)],
    )?;
    eq(it.backend.ttl("short").await?, None)?;
    eq(it.backend.delete("short").await?, false)?;
    eq(it.backend.delete_many(&["short", "counter"]).await?, 0)?;
    // Born again.
    eq(it.backend.incr("counter", LONG).await?, 1)?;
    it.near(it.backend.ttl("counter").await?, LONG)?;
    eq(it.backend.get("long").await?, Some(2))
}

pub(super) async fn never<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", 1, Ttl::Never).await?;
    it.advance(SHORT).await;
    eq(it.backend.ttl("key").await?, Some(Ttl::Never))?;
    eq(it.backend.get("key").await?, Some(1))?;
    // From a time to none, and back.
    it.backend.set("key", 2, LONG).await?;
    it.backend.set("key", 3, Ttl::Never).await?;
    eq(it.backend.ttl("key").await?, Some(Ttl::Never))?;
    it.backend.set("key", 4, LONG).await?;
    it.near(it.backend.ttl("key").await?, LONG)
}

pub(super) async fn zero<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", 1, Duration::ZERO).await?;
    eq(it.backend.get::<u8>("key").await?, None)?;
    it.backend.set("key", 1, Ttl::Never).await?;
    it.backend.set("key", 2, Duration::ZERO).await?;
    eq(it.backend.get::<u8>("key").await?, None)?;
    eq(it.backend.ttl("key").await?, None)?;
    eq(it.backend.delete("key").await?, false)
}

pub(super) async fn short<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", 1, Duration::from_nanos(1)).await?;
    it.backend
        .set("long", 1, Duration::from_nanos(59_999_000_001))
        .await?;
    it.near(it.backend.ttl("long").await?, Duration::from_secs(60))?;
    it.advance(Duration::from_millis(3)).await;
    eq(it.backend.get::<u8>("key").await?, None)
}

pub(super) async fn inspect<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", 1, LONG).await?;
    it.near(it.backend.ttl("key").await?, LONG)?;
    it.advance(SHORT).await;
    it.near(it.backend.ttl("key").await?, LONG - SHORT)?;
    let years = Duration::from_secs(2 * 365 * 24 * 3600);
    it.backend.set("key", 1, years).await?;
    it.near(it.backend.ttl("key").await?, years)
}

pub(super) async fn renew<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", 1, SHORT).await?;
    it.backend.set("key", 2, LONG).await?;
    it.near(it.backend.ttl("key").await?, LONG)?;
    it.advance(SHORT).await;
    eq(it.backend.get("key").await?, Some(2))?;
    it.near(it.backend.ttl("key").await?, LONG - SHORT)
}

pub(super) async fn default<H: Harness>(it: Context<'_, H>) -> Outcome {
    let Ttl::After(default) = it.backend.default_ttl() else {
        return eq(
            it.backend.default_ttl(),
            Ttl::After(Duration::from_secs(300)),
        );
    };
    eq(default, Duration::from_secs(300))?;
    it.backend.set_default("key", 1).await?;
    it.near(it.backend.ttl("key").await?, default)
}
