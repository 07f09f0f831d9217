//! Rows: tags. A store need not know of them: their versions are values, which are compared, set and deleted like any others.

use super::Harness;
use super::tools::{Context, Gate, Outcome, ensure, eq, fails, step_aside};
use crate::backend::{CacheBackend, CacheBackendExt};
use crate::error::Error;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Ttl;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn text(text: &str) -> String {
    text.to_owned()
}

/// Every way to read a key finds nothing.
async fn is_gone(backend: &dyn CacheBackend, key: &str) -> Outcome {
    eq(backend.get::<String>(key).await?, None)?;
    eq(backend.get_shared::<String>(key).await?, None)?;
    eq(
        backend.get_many::<String>(&["none", key]).await?,
        [None, None],
    )
}

pub(super) async fn removed<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    // A second time there are versions that were removed before.
    for _ in 0..2 {
        let tags = ["a", "b", "c", "d"];
        backend.set_tagged("set", text("1"), MINUTE, &tags).await?;
        let loads = || backend.load_scoped("load").ttl(MINUTE).tags(tags);
        let load = |value| move |_| ready(Ok::<_, Error>(text(value)));
        eq(loads().or_load(load("2")).await?, text("2"))?;
        eq(loads().or_load(load("3")).await?, text("2"))?;
        eq(backend.get("set").await?, Some(text("1")))?;
        let both = backend.get_many::<String>(&["load", "set"]).await?;
        eq(both, [Some(text("2")), Some(text("1"))])?;
        it.near(backend.ttl("set").await?, MINUTE)?;
        it.near(backend.ttl("load").await?, MINUTE)?;
        backend.remove_by_tag("c").await?;
        is_gone(backend, "set").await?;
        is_gone(backend, "load").await?;
        // Not for when the loader fails, either.
        let keep = loads().fail_safe(HOUR);
        eq(keep.or_load(load("4")).await?, text("4"))?;
        backend.remove_by_tag("b").await?;
        let down = |_| ready(Err::<String, _>(Error::load("the source is down")));
        let failed = loads().fail_safe(HOUR).or_load(down).await;
        fails(failed, Error::is_load)?;
        is_gone(backend, "load").await?;
    }
    Ok(())
}

pub(super) async fn others<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    // A key that is named as a tag is nothing to it.
    backend.set("b", text("0"), MINUTE).await?;
    backend.set_tagged("1", text("1"), MINUTE, &["a"]).await?;
    backend
        .set_tagged("2", text("2"), MINUTE, &["a", "b"])
        .await?;
    backend
        .set_tagged("3", text("3"), MINUTE, &["", "é", "B", "b "])
        .await?;
    eq(backend.get("b").await?, Some(text("0")))?;
    backend.remove_by_tag("b").await?;
    backend.remove_by_tag("of nobody").await?;
    let left = backend.get_many::<String>(&["b", "1", "2", "3"]).await?;
    eq(
        left,
        [Some(text("0")), Some(text("1")), None, Some(text("3"))],
    )?;
    // Who writes over it has no tags any more.
    backend.set("1", text("4"), MINUTE).await?;
    backend.remove_by_tag("a").await?;
    eq(backend.get("1").await?, Some(text("4")))?;
    backend.remove_by_tag("é").await?;
    eq(backend.get::<String>("3").await?, None)
}

pub(super) async fn flushed<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    backend
        .set_tagged("key", text("1"), MINUTE, &["tag"])
        .await?;
    let old = backend.get_value("key").await?;
    backend.flush().await?;
    // What was stored before, should it be there again: nothing to anybody, also when the tag is used again.
    if let Some(old) = old {
        backend.set_value("key", old, Ttl::Never).await?;
    }
    is_gone(backend, "key").await?;
    backend
        .set_tagged("other", text("2"), MINUTE, &["tag"])
        .await?;
    is_gone(backend, "key").await?;
    eq(backend.get("other").await?, Some(text("2")))
}

pub(super) async fn updated<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let update = |value: Option<String>| ready(value.unwrap_or_default() + "+");
    backend
        .set_tagged("key", text("1"), MINUTE, &["tag"])
        .await?;
    eq(
        backend.atomic_update("key", None, update).await?,
        text("1+"),
    )?;
    it.near(backend.ttl("key").await?, MINUTE)?;
    eq(backend.get("key").await?, Some(text("1+")))?;
    backend.remove_by_tag("tag").await?;
    is_gone(backend, "key").await?;
    // What has been removed is nothing to an update.
    eq(backend.atomic_update("key", HOUR, update).await?, text("+"))?;
    eq(backend.get("key").await?, Some(text("+")))?;
    // What is made of something while that is removed, is removed.
    backend
        .set_tagged("key", text("1"), MINUTE, &["tag"])
        .await?;
    let slow = |value: Option<String>| async move {
        let removed = backend.remove_by_tag("tag").await;
        format!("{} {}", value.unwrap_or_default(), removed.is_ok())
    };
    eq(
        backend.atomic_update("key", None, slow).await?,
        text("1 true"),
    )?;
    is_gone(backend, "key").await
}

pub(super) async fn during<H: Harness>(it: Context<'_, H>) -> Outcome {
    let (begun, go) = (Gate::default(), Gate::default());
    let (backend, gates) = (Arc::clone(&it.backend), (begun.clone(), go.clone()));
    let leader = it.spawn(async move {
        let load = backend.load_scoped("key").ttl(MINUTE).tags(["tag"]);
        let slow = |_| async {
            gates.0.open();
            gates.1.passed().await;
            Ok::<_, Error>(text("old"))
        };
        load.or_load(slow).await
    });
    begun.passed().await;
    it.backend.remove_by_tag("tag").await?;
    // This one comes after the removal, and may come upon the load.
    let backend = Arc::clone(&it.backend);
    let follower = it.spawn(async move {
        let load = backend.load_scoped("key").ttl(MINUTE).tags(["tag"]);
        load.or_load(|_| ready(Ok::<_, Error>(text("new")))).await
    });
    for _ in 0..20 {
        step_aside().await;
    }
    go.open();
    eq(leader.join().await.transpose()?, Some(text("old")))?;
    eq(follower.join().await.transpose()?, Some(text("new")))?;
    let found = it.backend.get::<String>("key").await?;
    ensure(found.is_none_or(|found| found == "new"), || {
        "the old one is stored".to_owned()
    })
}

pub(super) async fn namespaces<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let (seven, eight) = (backend.namespace("7"), backend.namespace("8"));
    seven.set("set", text("1"), MINUTE).await?;
    seven.set_ref("ref", "2", MINUTE).await?;
    seven.set_many([("many", text("3"))], MINUTE).await?;
    let load = || async { Ok::<_, Error>(text("4")) };
    eq(seven.get_or_load("load", MINUTE, load).await?, text("4"))?;
    let loads = |missing: Vec<&'static str>| {
        ready(Ok::<_, Error>(
            missing
                .into_iter()
                .map(|key| (key, text("5")))
                .collect::<Vec<_>>(),
        ))
    };
    let loaded = seven
        .get_or_load_many(&["load", "loads"], MINUTE, loads)
        .await?;
    eq(loaded, [Some(text("4")), Some(text("5"))])?;
    seven
        .set_tagged("tagged", text("6"), MINUTE, &["other"])
        .await?;
    let update = |value: Option<String>| ready(value.unwrap_or_default() + "7");
    backend.set("update", text(""), MINUTE).await?;
    seven.atomic_update("update", None, update).await?;
    eight.set("of 8", text("8"), MINUTE).await?;
    backend.set("plain", text("9"), MINUTE).await?;
    fails(seven.incr("n", MINUTE).await, Error::is_encoding)?;
    let keys = ["set", "ref", "many", "load", "loads", "tagged", "update"];
    let all = backend.get_many::<String>(&keys).await?;
    eq(
        all.into_iter().collect::<Option<String>>(),
        Some(text("1234567")),
    )?;
    seven.clear().await?;
    for key in keys {
        is_gone(backend, key).await?;
    }
    let left = seven.get_many::<String>(&["of 8", "plain"]).await?;
    eq(left, [Some(text("8")), Some(text("9"))])?;
    eight.flush().await?;
    let left = backend.get_many::<String>(&["of 8", "plain"]).await?;
    eq(left, [None, Some(text("9"))])
}

pub(super) async fn reserved<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    backend
        .set_tagged("key", text("1"), MINUTE, &["tag"])
        .await?;
    let key = "nori-cache:tag:tag";
    let no = Error::is_invalid_config;
    fails(backend.set(key, text("2"), MINUTE).await, no)?;
    fails(backend.set_many([("a", 1), (key, 1)], MINUTE).await, no)?;
    fails(backend.delete(key).await, no)?;
    fails(backend.delete_many(&["a", key]).await, no)?;
    fails(backend.incr("nori-cache:tag:other", MINUTE).await, no)?;
    fails(
        backend
            .atomic_update(key, None, |_: Option<u8>| ready(1))
            .await,
        no,
    )?;
    let load = || async { Ok::<_, Error>(1) };
    fails(
        backend
            .get_or_load("nori-cache:tag:other", MINUTE, load)
            .await,
        no,
    )?;
    let tags = vec!["tag"; 17];
    let names: Vec<String> = (0..17).map(|nth| format!("tag {nth}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    backend.set_tagged("same", text("3"), MINUTE, &tags).await?;
    backend
        .set_tagged("most", text("4"), MINUTE, &names[..16])
        .await?;
    fails(
        backend.set_tagged("more", text("5"), MINUTE, &names).await,
        no,
    )?;
    fails(backend.remove_by_tag(&"x".repeat(257)).await, no)?;
    let all = backend
        .get_many::<String>(&["key", "same", "most", "more"])
        .await?;
    eq(
        all,
        [Some(text("1")), Some(text("3")), Some(text("4")), None],
    )
}

/// The source has a number, which grows. Whoever begins when a removal has returned must not get what was the number before it.
pub(super) async fn races<H: Harness>(it: Context<'_, H>) -> Outcome {
    const REMOVALS: u64 = 100;
    let (source, removed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let readers = (0..4).map(|reader: u64| {
        let backend = Arc::clone(&it.backend);
        let (source, removed) = (Arc::clone(&source), Arc::clone(&removed));
        async move {
            let (mut reads, mut old) = (0_u64, 0_u64);
            loop {
                // SeqCst: a test's counters.
                let least = removed.load(Ordering::SeqCst);
                if least == REMOVALS && reads > 0 {
                    return Ok::<_, Error>(old);
                }
                reads += 1;
                // A store in memory never lets others go first.
                step_aside().await;
                let key = if (reads + reader).is_multiple_of(2) {
                    "a"
                } else {
                    "b"
                };
                let load = backend.load_scoped(key).ttl(MINUTE).tags(["tag", key]);
                let number = |_| async {
                    // SeqCst: as above.
                    let number = source.load(Ordering::SeqCst);
                    step_aside().await;
                    Ok::<_, Error>(number)
                };
                let found = match reads % 3 {
                    0 => backend.get::<u64>(key).await?.unwrap_or(u64::MAX),
                    _ => load.or_load(number).await?,
                };
                old += u64::from(found < least);
            }
        }
    });
    let readers: Vec<_> = readers.map(|reader| it.spawn(reader)).collect();
    for number in 1..=REMOVALS {
        // SeqCst: as above. First the source, then the removal.
        source.store(number, Ordering::SeqCst);
        it.backend.remove_by_tag("tag").await?;
        removed.store(number, Ordering::SeqCst);
        step_aside().await;
    }
    for reader in readers {
        eq(reader.join().await.transpose()?, Some(0))?;
    }
    Ok(())
}
