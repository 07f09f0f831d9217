//! Rows: loads of many keys with one call.

use super::Harness;
use super::tools::{Context, Gate, Outcome, Spawned, drop_at, ensure, eq, fails, forever};
use super::tools::{panic_silently, step_aside};
use crate::backend::CacheBackendExt;
use crate::error::Error;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::time::Ttl;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

type Values = Vec<Option<i64>>;

/// Loads these keys, each of which brings `value`; says what was asked for.
async fn load<H: Harness>(
    it: &Context<'_, H>,
    keys: &[&str],
    value: i64,
) -> Result<(Values, Vec<String>), Error> {
    let asked = Mutex::new(Vec::new());
    let loader = |missing: Vec<&str>| {
        asked
            .lock()
            .extend(missing.iter().map(|key| (*key).to_owned()));
        let loaded: Vec<(String, i64)> = missing
            .into_iter()
            .map(|key| (key.to_owned(), value))
            .collect();
        async move { Ok::<_, Infallible>(loaded) }
    };
    let values = it.backend.get_or_load_many(keys, MINUTE, loader).await?;
    Ok((values, asked.into_inner()))
}

pub(super) async fn missing<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("b", 1, MINUTE).await?;
    let calls = AtomicU64::new(0);
    let loader = |missing: Vec<&str>| {
        // Relaxed: one task.
        calls.fetch_add(1, Ordering::Relaxed);
        let in_order = missing == ["c", "a"];
        async move {
            if in_order {
                return Ok(vec![("a", 2), ("c", 3)]);
            }
            Err("asked for something else")
        }
    };
    let got = it
        .backend
        .get_or_load_many(&["c", "b", "a"], MINUTE, loader);
    eq(got.await?, [Some(3), Some(1), Some(2)])?;
    eq(calls.load(Ordering::Relaxed), 1)?;
    eq(
        it.backend.get_many(&["a", "b", "c"]).await?,
        [Some(2), Some(1), Some(3)],
    )?;
    // All is there now.
    eq(
        load(&it, &["c", "b", "a"], 9).await?,
        (vec![Some(3), Some(1), Some(2)], Vec::new()),
    )
}

pub(super) async fn partial<H: Harness>(it: Context<'_, H>) -> Outcome {
    let loader = |_: Vec<&str>| async {
        // One that nobody asked for, and one twice.
        Ok::<_, Infallible>([("b", 1), ("other", 2), ("b", 3)])
    };
    let got = it
        .backend
        .get_or_load_many(&["a", "b", "c"], MINUTE, loader);
    eq(got.await?, [None, Some(1), None])?;
    eq(
        it.backend
            .get_many::<i64>(&["a", "b", "c", "other"])
            .await?,
        [None, Some(1), None, None],
    )?;
    // Nothing is held up.
    let (values, asked) = load(&it, &["a", "b", "c"], 4).await?;
    eq(values, [Some(4), Some(1), Some(4)])?;
    eq(asked, ["a", "c"])
}

pub(super) async fn duplicates<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("b", 1, MINUTE).await?;
    let (values, asked) = load(&it, &["a", "b", "a", "b", "a"], 2).await?;
    eq(values, [Some(2), Some(1), Some(2), Some(1), Some(2)])?;
    eq(asked, ["a"])
}

pub(super) async fn ttl<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("there", 1, Ttl::Never).await?;
    load(&it, &["a", "there", "b"], 2).await?;
    it.near(it.backend.ttl("a").await?, MINUTE)?;
    it.near(it.backend.ttl("b").await?, MINUTE)?;
    eq(it.backend.ttl("there").await?, Some(Ttl::Never))?;
    let loader = |missing: Vec<&'static str>| async move {
        Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 3)))
    };
    let zero = it.backend.get_or_load_many(&["z"], Duration::ZERO, loader);
    eq(zero.await?, [Some(3)])?;
    eq(it.backend.get::<i64>("z").await?, None)
}

pub(super) async fn none<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(load(&it, &[], 1).await?, (Vec::new(), Vec::new()))
}

pub(super) async fn undecodable<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("a", "text", MINUTE).await?;
    it.backend.set("b", 1, MINUTE).await?;
    let (values, asked) = load(&it, &["a", "b"], 2).await?;
    eq(values, [Some(2), Some(1)])?;
    eq(asked, ["a"])?;
    eq(it.backend.get("a").await?, Some(2))?;
    eq(it.backend.undecodable().total(), 1)?;
    it.backend.set("a", "text", MINUTE).await?;
    let strict = it.backend.strict();
    let loader = |_: Vec<&str>| async { Ok::<_, Infallible>([("a", 3_i64)]) };
    fails(
        strict.get_or_load_many(&["a", "b"], MINUTE, loader).await,
        Error::is_decoding,
    )
}

/// A load of "a", "b" and "c" that has begun and waits for the gate. It brings 1 for each, but nothing for "c".
struct Held {
    go: Gate,
    leader: Spawned<Result<Values, Error>>,
}

impl Held {
    async fn start<H: Harness>(it: &Context<'_, H>) -> Self {
        Self::start_with(it, || Ok(())).await
    }

    async fn start_with<H: Harness>(
        it: &Context<'_, H>,
        end: fn() -> Result<(), &'static str>,
    ) -> Self {
        let (begun, go) = (Gate::default(), Gate::default());
        let (backend, gates) = (Arc::clone(&it.backend), (begun.clone(), go.clone()));
        let leader = it.spawn(async move {
            let loader = |_: Vec<&str>| async {
                gates.0.open();
                gates.1.passed().await;
                end().map(|()| [("a", 1_i64), ("b", 1)])
            };
            let keys = ["a", "b", "c"];
            backend.get_or_load_many(&keys, MINUTE, loader).await
        });
        begun.passed().await;
        Self { go, leader }
    }

    async fn end(self) -> Result<Option<Values>, Error> {
        self.go.open();
        self.leader.join().await.transpose()
    }
}

/// One that asks for a key, and loads 2 if nobody else does.
fn ask<H: Harness>(it: &Context<'_, H>, key: &'static str) -> Spawned<Result<i64, Error>> {
    let backend = Arc::clone(&it.backend);
    it.spawn(async move {
        let load = || async { Ok::<_, Infallible>(2) };
        backend.get_or_load(key, MINUTE, load).await
    })
}

/// Time for those who were started to begin to wait.
async fn settle() {
    for _ in 0..100 {
        step_aside().await;
    }
}

pub(super) async fn single_follows<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it).await;
    let asks = ["a", "b"].map(|key| ask(&it, key));
    settle().await;
    eq(held.end().await?, Some(vec![Some(1), Some(1), None]))?;
    for asked in asks {
        // It came in time, or found what was stored.
        eq(asked.join().await.transpose()?, Some(1))?;
    }
    Ok(())
}

pub(super) async fn many_follow<H: Harness>(it: Context<'_, H>) -> Outcome {
    let (begun, go) = (Gate::default(), Gate::default());
    let (backend, gates) = (Arc::clone(&it.backend), (begun.clone(), go.clone()));
    let single = it.spawn(async move {
        let load = || async {
            gates.0.open();
            gates.1.passed().await;
            Ok::<_, Infallible>(7_i64)
        };
        backend.get_or_load("b", MINUTE, load).await
    });
    begun.passed().await;
    let backend = Arc::clone(&it.backend);
    let loaded = Gate::default();
    let own = loaded.clone();
    let many = it.spawn(async move {
        let loader = |missing: Vec<&'static str>| {
            own.open();
            async move { Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 1_i64))) }
        };
        let keys = ["a", "b", "c"];
        backend.get_or_load_many(&keys, MINUTE, loader).await
    });
    // Its own keys do not wait for the other's.
    loaded.passed().await;
    go.open();
    eq(single.join().await.transpose()?, Some(7))?;
    eq(
        many.join().await.transpose()?,
        Some(vec![Some(1), Some(7), Some(1)]),
    )
}

pub(super) async fn opposite<H: Harness>(it: Context<'_, H>) -> Outcome {
    for _ in 0..50 {
        let loads = Arc::new(AtomicU64::new(0));
        let calls = [["a", "b", "c"], ["c", "b", "a"]].map(|keys| {
            let (backend, loads) = (Arc::clone(&it.backend), Arc::clone(&loads));
            async move {
                let loader = |missing: Vec<&'static str>| {
                    // Relaxed: the tasks' ends order it.
                    loads.fetch_add(missing.len() as u64, Ordering::Relaxed);
                    async move {
                        step_aside().await;
                        Ok::<_, Infallible>(missing.into_iter().map(|key| (key, 1_i64)))
                    }
                };
                backend.get_or_load_many(&keys, MINUTE, loader).await
            }
        });
        for answer in it.join(calls).await {
            eq(answer.transpose()?, Some(vec![Some(1); 3]))?;
        }
        eq(loads.load(Ordering::Relaxed), 3)?;
        it.backend.flush().await?;
    }
    Ok(())
}

pub(super) async fn cancelled<H: Harness>(it: Context<'_, H>) -> Outcome {
    let begun = Gate::default();
    let hang = |_: Vec<&str>| async {
        begun.open();
        forever::<Result<Vec<(&str, i64)>, Infallible>>().await
    };
    let keys = ["a", "b"];
    let lead = it.backend.get_or_load_many(&keys, MINUTE, hang);
    let asks = keys.map(|key| {
        let (backend, started) = (Arc::clone(&it.backend), begun.clone());
        it.spawn(async move {
            started.passed().await;
            let load = || async { Ok::<_, Infallible>(2) };
            backend.get_or_load(key, MINUTE, load).await
        })
    });
    drop_at(&begun, lead).await;
    for asked in asks {
        eq(asked.join().await.transpose()?, Some(2))?;
    }
    eq(it.backend.get_many(&keys).await?, [Some(2), Some(2)])
}

pub(super) async fn panics<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start_with(&it, || panic_silently()).await;
    let asks = ["a", "b", "c"].map(|key| ask(&it, key));
    settle().await;
    held.go.open();
    ensure(held.leader.join().await.is_none(), || "no panic".to_owned())?;
    for asked in asks {
        eq(asked.join().await.transpose()?, Some(2))?;
    }
    Ok(())
}

pub(super) async fn unloaded<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it).await;
    let asked = ask(&it, "c");
    settle().await;
    eq(held.end().await?, Some(vec![Some(1), Some(1), None]))?;
    eq(asked.join().await.transpose()?, Some(2))?;
    eq(it.backend.get("c").await?, Some(2))
}

pub(super) async fn error<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start_with(&it, || Err("no database")).await;
    let asked = ask(&it, "a");
    settle().await;
    let error = match held.end().await {
        Err(error) => error,
        other => return ensure(false, || format!("no error: {other:?}")),
    };
    eq(error.is_load(), true)?;
    eq(
        error.to_string(),
        "get_or_load_many: the loader failed: no database",
    )?;
    match asked.join().await {
        // It came in time, or only after the load.
        Some(Err(error)) => eq(error.is_load(), true)?,
        other => eq(other.transpose()?, Some(2))?,
    }
    eq(it.backend.get_many::<i64>(&["b", "c"]).await?, [None, None])
}

pub(super) async fn refused<H: Harness>(it: Context<'_, H>) -> Outcome {
    let loader =
        |_: Vec<&str>| async { Ok::<_, Infallible>([("a", 1.5), ("b", f64::NAN), ("c", 2.5)]) };
    let keys = ["a", "b", "c"];
    let loaded = it.backend.get_or_load_many(&keys, MINUTE, loader).await;
    fails(loaded, Error::is_encoding)?;
    eq(
        it.backend.get_many(&keys).await?,
        [Some(1.5), None, Some(2.5)],
    )
}

pub(super) async fn writes_win<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it).await;
    it.backend.set("a", 5, MINUTE).await?;
    eq(held.end().await?, Some(vec![Some(1), Some(1), None]))?;
    eq(it.backend.get_many(&["a", "b"]).await?, [Some(5), Some(1)])?;
    it.backend.delete_many(&["a", "b"]).await?;
    let held = Held::start(&it).await;
    it.backend.delete("b").await?;
    // Whoever comes after it loads afresh.
    eq(ask(&it, "b").join().await.transpose()?, Some(2))?;
    eq(held.end().await?, Some(vec![Some(1), Some(1), None]))?;
    eq(it.backend.get_many(&["a", "b"]).await?, [Some(1), Some(2)])?;
    it.backend.flush().await?;
    let held = Held::start(&it).await;
    it.backend.flush().await?;
    eq(held.end().await?, Some(vec![Some(1), Some(1), None]))?;
    eq(it.backend.get_many::<i64>(&["a", "b"]).await?, [None, None])
}

pub(super) async fn incr_wins<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it).await;
    it.backend.incr_by("b", 10, MINUTE).await?;
    eq(held.end().await?, Some(vec![Some(1), Some(1), None]))?;
    eq(it.backend.get_many(&["a", "b"]).await?, [Some(1), Some(10)])
}

pub(super) async fn inside<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let loader = |missing: Vec<&'static str>| async move {
        let inner = |missing: Vec<&'static str>| async move {
            Ok::<_, Error>(missing.into_iter().map(|key| (key, 1_i64)))
        };
        let values = backend.get_or_load_many(&missing, MINUTE, inner).await?;
        let values = missing.into_iter().zip(values);
        Ok::<_, Error>(values.filter_map(|(key, value)| Some((key, value? + 1))))
    };
    let got = backend.get_or_load_many(&["a", "b"], MINUTE, loader);
    eq(got.await?, [Some(2), Some(2)])?;
    eq(backend.get_many(&["a", "b"]).await?, [Some(2), Some(2)])
}

pub(super) async fn thousands<H: Harness>(it: Context<'_, H>) -> Outcome {
    let keys: Vec<String> = (0..2_000).map(|n| format!("key:{n}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let calls = AtomicU64::new(0);
    let load = |missing: Vec<&str>| {
        // Relaxed: one task.
        calls.fetch_add(1, Ordering::Relaxed);
        let numbered = missing
            .into_iter()
            .map(|key| (key.to_owned(), key.len() as i64));
        let loaded: Vec<(String, i64)> = numbered.collect();
        async move { Ok::<_, Infallible>(loaded) }
    };
    let lengths: Values = keys.iter().map(|key| Some(key.len() as i64)).collect();
    eq(
        it.backend.get_or_load_many(&keys, MINUTE, load).await?,
        lengths.clone(),
    )?;
    eq(it.backend.get_many::<i64>(&keys).await?, lengths)?;
    eq(calls.load(Ordering::Relaxed), 1)
}
