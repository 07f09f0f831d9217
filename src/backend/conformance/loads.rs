//! Rows: loads.

use super::Harness;
use super::tools::step_aside;
use super::tools::{Context, Gate, Outcome, Spawned, drop_at, ensure, eq, fails, forever};
use crate::backend::{CacheBackend, CacheBackendExt, Value};
use crate::error::Error;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Ttl;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// What the loaders of these rows fail with.
#[derive(Debug, PartialEq)]
struct NoRow(u32);

impl std::fmt::Display for NoRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no row {}", self.0)
    }
}

impl std::error::Error for NoRow {}

async fn load(backend: &dyn CacheBackend, value: i64) -> Result<i64, Error> {
    backend
        .get_or_load("key", MINUTE, || async move { Ok::<_, NoRow>(value) })
        .await
}

pub(super) async fn hit<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", 1, MINUTE).await?;
    eq(load(&*it.backend, 2).await?, 1)
}

pub(super) async fn miss<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(load(&*it.backend, 1).await?, 1)?;
    eq(it.backend.get("key").await?, Some(1))?;
    it.near(it.backend.ttl("key").await?, MINUTE)?;
    eq(load(&*it.backend, 2).await?, 1)
}

pub(super) async fn undecodable<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("key", "text", MINUTE).await?;
    eq(load(&*it.backend, 1).await?, 1)?;
    eq(it.backend.get("key").await?, Some(1))?;
    eq(load(&*it.backend, 2).await?, 1)?;
    eq(it.backend.undecodable().total(), 1)?;
    // What is written meanwhile stays.
    it.backend.set("key", "text", MINUTE).await?;
    let held = Held::start(&it, 3).await;
    it.backend
        .set_value("key", Value::new("other")?, Ttl::Never)
        .await?;
    held.go.open();
    eq(held.leader.join().await.transpose()?, Some(3))?;
    eq(it.backend.get("key").await?, Some("other".to_owned()))
}

pub(super) async fn other_type<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it, 1).await;
    let backend = Arc::clone(&it.backend);
    let other = it.spawn(async move {
        let load = || async { Ok::<_, NoRow>("text".to_owned()) };
        backend.get_or_load("key", MINUTE, load).await
    });
    held.go.open();
    eq(held.leader.join().await.transpose()?, Some(1))?;
    eq(other.join().await.transpose()?, Some("text".to_owned()))
}

/// A load that has begun and waits for the gate.
struct Held {
    begun: Gate,
    go: Gate,
    leader: Spawned<Result<i64, Error>>,
}

impl Held {
    async fn start<H: Harness>(it: &Context<'_, H>, value: i64) -> Self {
        Self::start_with(it, Ok(value)).await
    }

    async fn start_with<H: Harness>(it: &Context<'_, H>, result: Result<i64, NoRow>) -> Self {
        let (begun, go) = (Gate::default(), Gate::default());
        let backend = Arc::clone(&it.backend);
        let gates = (begun.clone(), go.clone());
        let leader = it.spawn(async move {
            let load = || async {
                gates.0.open();
                gates.1.passed().await;
                result
            };
            backend.get_or_load("key", MINUTE, load).await
        });
        begun.passed().await;
        Self { begun, go, leader }
    }

    async fn end(self) -> Result<Option<i64>, Error> {
        self.go.open();
        self.leader.join().await.transpose()
    }
}

pub(super) async fn single<H: Harness>(it: Context<'_, H>) -> Outcome {
    let loads = Arc::new(AtomicU64::new(0));
    let callers = (0..64).map(|_| {
        let (backend, loads) = (Arc::clone(&it.backend), Arc::clone(&loads));
        async move {
            let load = || async {
                for _ in 0..100 {
                    step_aside().await;
                }
                // Relaxed: the tasks' ends order it.
                Ok::<_, NoRow>(loads.fetch_add(1, Ordering::Relaxed))
            };
            backend.get_or_load("key", MINUTE, load).await
        }
    });
    for answer in it.join(callers).await {
        eq(answer.transpose()?, Some(0))?;
    }
    eq(loads.load(Ordering::Relaxed), 1)
}

pub(super) async fn error<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start_with(&it, Err(NoRow(7))).await;
    let backend = Arc::clone(&it.backend);
    let waits = it.spawn(async move { load(&*backend, 2).await });
    for _ in 0..100 {
        step_aside().await;
    }
    let error = match held.end().await {
        Err(error) => error,
        other => return ensure(false, || format!("no error: {other:?}")),
    };
    eq(error.is_load(), true)?;
    eq(error.cause::<NoRow>(), Some(&NoRow(7)))?;
    eq(
        error.to_string(),
        "get_or_load \"key\": the loader failed: no row 7",
    )?;
    match waits.join().await {
        // It came in time, or only after the load.
        Some(Err(error)) => eq(error.cause::<NoRow>(), Some(&NoRow(7)))?,
        other => eq(other.transpose()?, Some(2))?,
    }
    it.backend.delete("key").await?;
    eq(load(&*it.backend, 3).await?, 3)
}

pub(super) async fn cancelled<H: Harness>(it: Context<'_, H>) -> Outcome {
    let begun = Gate::default();
    let hang = || async {
        begun.open();
        forever::<Result<i64, NoRow>>().await
    };
    let lead = it.backend.get_or_load("key", MINUTE, hang);
    let backend = Arc::clone(&it.backend);
    let started = begun.clone();
    let waits = it.spawn(async move {
        started.passed().await;
        load(&*backend, 2).await
    });
    drop_at(&begun, lead).await;
    eq(waits.join().await.transpose()?, Some(2))?;
    eq(it.backend.get("key").await?, Some(2))
}

pub(super) async fn panics<H: Harness>(it: Context<'_, H>) -> Outcome {
    let (begun, go) = (Gate::default(), Gate::default());
    let (backend, gates) = (Arc::clone(&it.backend), (begun.clone(), go.clone()));
    let leader = it.spawn(async move {
        let load = || async {
            gates.0.open();
            gates.1.passed().await;
            // Not `panic!`: the hook would print it.
            std::panic::resume_unwind(Box::new(()))
        };
        let _: Result<i64, Error> = backend
            .get_or_load("key", MINUTE, || async {
                let never: Result<i64, NoRow> = load().await;
                never
            })
            .await;
    });
    begun.passed().await;
    let backend = Arc::clone(&it.backend);
    let waits = it.spawn(async move { load(&*backend, 2).await });
    step_aside().await;
    go.open();
    ensure(leader.join().await.is_none(), || "no panic".to_owned())?;
    eq(waits.join().await.transpose()?, Some(2))
}

pub(super) async fn set_wins<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it, 1).await;
    it.backend.set("key", 2, MINUTE).await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get("key").await?, Some(2))?;
    // One that is gone again before the load ends counts, too.
    it.backend.delete("key").await?;
    let held = Held::start(&it, 3).await;
    it.backend.set("key", 4, Duration::from_millis(1)).await?;
    it.advance(Duration::from_millis(3)).await;
    eq(held.end().await?, Some(3))?;
    eq(it.backend.get::<i64>("key").await?, None)
}

pub(super) async fn delete_wins<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it, 1).await;
    eq(it.backend.delete("key").await?, false)?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get::<i64>("key").await?, None)?;
    // A zero time is a delete.
    let held = Held::start(&it, 1).await;
    it.backend.set("key", 2, Duration::ZERO).await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get::<i64>("key").await?, None)?;
    // Other keys do not matter.
    let held = Held::start(&it, 1).await;
    it.backend.delete("other").await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get("key").await?, Some(1))
}

pub(super) async fn flush_wins<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it, 1).await;
    it.backend.flush().await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get::<i64>("key").await?, None)
}

pub(super) async fn many_win<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it, 1).await;
    it.backend.delete_many(&["a", "key", "key"]).await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get::<i64>("key").await?, None)?;
    let held = Held::start(&it, 1).await;
    it.backend.set_many([("a", 5), ("key", 6)], MINUTE).await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get("key").await?, Some(6))
}

pub(super) async fn incr_wins<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it, 1).await;
    it.backend.incr_by("key", 10, MINUTE).await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get("key").await?, Some(10))?;
    it.backend.delete("key").await?;
    let held = Held::start(&it, 1).await;
    let update = |_: Option<i64>| async { 20 };
    it.backend.atomic_update("key", None, update).await?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get("key").await?, Some(20))
}

pub(super) async fn fresh<H: Harness>(it: Context<'_, H>) -> Outcome {
    let held = Held::start(&it, 1).await;
    it.backend.delete("key").await?;
    // Not the old load's answer, and not held up by it.
    ensure(!held.go.is_open() && held.begun.is_open(), || {
        "not held".to_owned()
    })?;
    eq(load(&*it.backend, 2).await?, 2)?;
    eq(held.end().await?, Some(1))?;
    eq(it.backend.get("key").await?, Some(2))
}

pub(super) async fn zero<H: Harness>(it: Context<'_, H>) -> Outcome {
    let load = || async { Ok::<_, NoRow>(1) };
    let loaded = it.backend.get_or_load("key", Duration::ZERO, load).await?;
    eq(loaded, 1)?;
    eq(it.backend.get::<i64>("key").await?, None)
}

pub(super) async fn refused<H: Harness>(it: Context<'_, H>) -> Outcome {
    let load = || async { Ok::<_, NoRow>(f64::NAN) };
    let loaded = it.backend.get_or_load("key", MINUTE, load).await;
    fails(loaded, Error::is_encoding)?;
    eq(it.backend.get::<f64>("key").await?, None)
}

pub(super) async fn inside<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let outer = || async { load(backend, 1).await.map(|n| n + 1) };
    eq(backend.get_or_load("key", MINUTE, outer).await?, 2)?;
    eq(backend.get::<i64>("key").await?.is_some(), true)
}

/// Two loads, each of which begins before the other needs it.
pub(super) async fn crossing<H: Harness>(it: Context<'_, H>) -> Outcome {
    let begun = [Gate::default(), Gate::default()];
    let loads = [0, 1].map(|own| {
        let (backend, begun) = (Arc::clone(&it.backend), begun.clone());
        it.spawn(async move {
            let keys = ["a", "b"];
            let outer = || async {
                begun[own].open();
                begun[1 - own].passed().await;
                let other = || async { Ok::<_, NoRow>(1) };
                let other = backend.get_or_load(keys[1 - own], MINUTE, other);
                Ok::<i64, Error>(other.await? + 1)
            };
            backend.get_or_load(keys[own], MINUTE, outer).await
        })
    });
    let mut answers = Vec::new();
    for load in loads {
        answers.push(load.join().await.transpose()?.unwrap_or_default());
    }
    answers.sort_unstable();
    // One goes ahead on its own, the other waits for it.
    eq(answers, [2, 3])
}

/// A source of truth that moves on, and tells the cache each time: once it has told, nobody may read what was before.
pub(super) async fn races<H: Harness>(it: Context<'_, H>) -> Outcome {
    const ROUNDS: u64 = 400;
    let truth = Arc::new(AtomicU64::new(0));
    let told = Arc::new(AtomicU64::new(0));
    let readers = (0..8).map(|_| {
        let (backend, truth, told) = (
            Arc::clone(&it.backend),
            Arc::clone(&truth),
            Arc::clone(&told),
        );
        async move {
            let mut stale = Vec::new();
            // SeqCst throughout: this row is about the cache's order, not its own.
            while told.load(Ordering::SeqCst) < ROUNDS {
                let least = told.load(Ordering::SeqCst);
                let load = || async {
                    let value = truth.load(Ordering::SeqCst);
                    step_aside().await;
                    Ok::<_, NoRow>(value)
                };
                let read = backend.get_or_load("key", MINUTE, load).await?;
                if read < least {
                    stale.push((read, least));
                }
                step_aside().await;
            }
            Ok::<_, Error>(stale)
        }
    });
    let readers: Vec<_> = readers.map(|task| it.spawn(task)).collect();
    let (backend, moved, says) = (Arc::clone(&it.backend), truth, told);
    let writer = it.spawn(async move {
        for round in 1..=ROUNDS {
            moved.store(round, Ordering::SeqCst);
            let result = match round % 3 {
                0 => backend.delete("key").await.map(drop),
                1 => backend.delete_many(&["key"]).await.map(drop),
                _ => backend.flush().await,
            };
            // Even if it fails: the readers wait for the last round.
            says.store(round, Ordering::SeqCst);
            result?;
            step_aside().await;
        }
        Ok::<_, Error>(())
    });
    for reader in readers {
        let stale = reader.join().await;
        let stale = stale.unwrap_or_else(|| Err(Error::closed()))?;
        eq(stale, [])?;
    }
    writer
        .join()
        .await
        .unwrap_or_else(|| Err(Error::closed()))?;
    Ok(())
}
