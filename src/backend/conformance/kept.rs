//! Rows: what loads keep. A store need not know of it: it is one more value, which stays for longer than it is fresh.

use super::Harness;
use super::tools::{Context, Gate, Outcome, ensure, eq, step_aside};
use crate::backend::{CacheBackend, CacheBackendExt, LoadContext, Outcome as LoadOutcome};
use crate::error::Error;
use crate::time::wall_millis;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

const MILLISECOND: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

type Pair = (u8, String);

fn pair(number: u8) -> Pair {
    (number, "text".to_owned())
}

fn fails(_: LoadContext<Pair>) -> std::future::Ready<Result<Pair, Error>> {
    ready(Err(Error::load("the source is down")))
}

/// Loads what is fresh for this long, and is kept for an hour longer.
async fn keep(backend: &dyn CacheBackend, number: u8, ttl: Duration) -> Result<Pair, Error> {
    let load = backend.load_scoped("key").ttl(ttl).fail_safe(HOUR);
    load.or_load(|_| ready(Ok::<_, Error>(pair(number)))).await
}

/// The same, until it is no longer fresh.
async fn keep_stale<H: Harness>(it: &Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    keep(backend, 1, MILLISECOND).await?;
    expire(it).await;
    Ok(())
}

/// Waits until what is fresh for a millisecond is so no longer.
async fn expire<H: Harness>(it: &Context<'_, H>) {
    let start = wall_millis();
    it.advance(2 * MILLISECOND).await;
    if it.backend.manual_clock().is_none() {
        while (start..start + 3).contains(&wall_millis()) {
            step_aside().await;
        }
    }
}

pub(super) async fn fresh<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    eq(keep(backend, 1, MINUTE).await?, pair(1))?;
    eq(keep(backend, 2, MINUTE).await?, pair(1))?;
    eq(backend.get("key").await?, Some(pair(1)))?;
    let shared = backend.get_shared::<Pair>("key").await?;
    eq(shared.as_deref(), Some(&pair(1)))?;
    let many = backend.get_many::<Pair>(&["none", "key"]).await?;
    eq(many, [None, Some(pair(1))])?;
    eq(backend.undecodable().total(), 0)?;
    // As another type it is what any value is.
    eq(backend.get::<String>("key").await?, None)?;
    eq(backend.undecodable().total(), 1)?;
    it.near(backend.ttl("key").await?, MINUTE + HOUR)?;
    eq(backend.delete("key").await?, true)
}

pub(super) async fn stale<H: Harness>(it: Context<'_, H>) -> Outcome {
    keep_stale(&it).await?;
    let backend = &*it.backend;
    eq(backend.get::<Pair>("key").await?, None)?;
    eq(backend.get::<u8>("key").await?, None)?;
    ensure(backend.get_shared::<Pair>("key").await?.is_none(), || {
        "a shared read finds it".to_owned()
    })?;
    eq(backend.get_many::<Pair>(&["key"]).await?, [None])?;
    eq(backend.undecodable().total(), 0)?;
    it.near(backend.ttl("key").await?, HOUR)?;
    let load = backend.load_scoped("key").fail_safe(HOUR);
    let answer = load.answer_or_load(fails).await?;
    ensure(matches!(answer.outcome(), LoadOutcome::FailSafe(_)), || {
        format!("not fail-safe: {answer:?}")
    })?;
    eq(answer.into_value(), pair(1))
}

pub(super) async fn replaced<H: Harness>(it: Context<'_, H>) -> Outcome {
    keep_stale(&it).await?;
    let backend = &*it.backend;
    let load = backend.load_scoped("key").ttl(MINUTE).tags(["tag"]);
    let next = |cx: LoadContext<Pair>| async move {
        cx.validator_is("v2");
        Ok::<_, Error>(pair(cx.stale().map_or(0, |stale| stale.0 + 1)))
    };
    eq(load.or_load(next).await?, pair(2))?;
    eq(backend.get("key").await?, Some(pair(2)))?;
    it.near(backend.ttl("key").await?, MINUTE)?;
    let load = backend.load_scoped("key").ttl(MINUTE).skip_read();
    let again = |cx: LoadContext<Pair>| async move {
        let tags: Vec<String> = cx.stale_tags().map(str::to_owned).collect();
        eq_or_fail(cx.validator() == Some("v2") && tags == ["tag"])?;
        Ok::<_, Error>(pair(3))
    };
    eq(load.or_load(again).await?, pair(3))?;
    eq(backend.get("key").await?, Some(pair(3)))
}

fn eq_or_fail(holds: bool) -> Result<(), Error> {
    match holds {
        true => Ok(()),
        false => Err(Error::load(
            "the validator or the tags are not what was stored",
        )),
    }
}

pub(super) async fn none<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let load = || backend.load_scoped("key").negative_ttl(MINUTE);
    let none = |_: LoadContext<Pair>| ready(Ok::<_, Error>(None));
    eq(load().or_load_optional(none).await?, None)?;
    let some = |_: LoadContext<Pair>| ready(Ok::<_, Error>(Some(pair(1))));
    eq(load().or_load_optional(some).await?, None)?;
    eq(backend.get::<Pair>("key").await?, None)?;
    eq(backend.get::<Option<Pair>>("key").await?, None)?;
    eq(backend.get::<u8>("key").await?, None)?;
    eq(backend.get_many::<u8>(&["key"]).await?, [None])?;
    eq(backend.undecodable().total(), 0)?;
    it.near(backend.ttl("key").await?, MINUTE)?;
    // Who must have a value loads one.
    let load = backend.load_scoped("key").ttl(MINUTE);
    eq(
        load.or_load(|_| ready(Ok::<_, Error>(pair(2)))).await?,
        pair(2),
    )?;
    eq(backend.get("key").await?, Some(pair(2)))?;
    // And that it is gone is seen by who loads afresh.
    let load = backend.load_scoped("key").skip_read();
    eq(load.or_load_optional(none).await?, None)?;
    eq(backend.ttl("key").await?, None)
}

pub(super) async fn updated<H: Harness>(it: Context<'_, H>) -> Outcome {
    keep_stale(&it).await?;
    let backend = &*it.backend;
    let update = |value: Option<Pair>| ready(pair(value.map_or(7, |value| value.0 + 1)));
    eq(backend.atomic_update("key", None, update).await?, pair(7))?;
    it.near(backend.ttl("key").await?, Duration::from_secs(300))?;
    eq(backend.atomic_update("key", None, update).await?, pair(8))?;
    // What is fresh keeps what is left of that.
    backend.delete("key").await?;
    keep(backend, 1, MINUTE).await?;
    eq(backend.atomic_update("key", None, update).await?, pair(2))?;
    it.near(backend.ttl("key").await?, MINUTE)
}

pub(super) async fn deleted<H: Harness>(it: Context<'_, H>) -> Outcome {
    keep_stale(&it).await?;
    let (begun, go) = (Gate::default(), Gate::default());
    let (backend, gates) = (Arc::clone(&it.backend), (begun.clone(), go.clone()));
    let load = it.spawn(async move {
        let load = backend.load_scoped("key").ttl(MINUTE).fail_safe(HOUR);
        let slow = |_| async {
            gates.0.open();
            gates.1.passed().await;
            Ok::<_, Error>(pair(2))
        };
        load.or_load(slow).await
    });
    begun.passed().await;
    eq(it.backend.delete("key").await?, true)?;
    go.open();
    eq(load.join().await.transpose()?, Some(pair(2)))?;
    eq(it.backend.ttl("key").await?, None)
}
