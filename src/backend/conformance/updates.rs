//! Rows: updates.

use super::Harness;
use super::tools::{
    self, Broken, Context, Gate, Outcome, drop_at, ensure, eq, forever, step_aside,
};
use crate::backend::{CacheBackendExt, Value};
use crate::error::Error;
use crate::sync::Mutex;
use crate::time::Ttl;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// One more.
async fn next(n: Option<i64>) -> i64 {
    n.unwrap_or(0) + 1
}

pub(super) async fn creates<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(it.backend.atomic_update("n", None, next).await?, 1)?;
    eq(it.backend.atomic_update("n", None, next).await?, 2)?;
    eq(it.backend.get("n").await?, Some(2))?;
    // A plain closure, and a value that is no integer.
    for word in ["a", "b"] {
        let push = |words: Option<Vec<String>>| {
            let mut words = words.unwrap_or_default();
            words.push(word.to_owned());
            ready(words)
        };
        it.backend.atomic_update("words", None, push).await?;
    }
    eq(
        it.backend.get("words").await?,
        Some(vec!["a".to_owned(), "b".to_owned()]),
    )
}

pub(super) async fn keeps_ttl<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("n", 1, HOUR).await?;
    it.backend.atomic_update("n", None, next).await?;
    it.near(it.backend.ttl("n").await?, HOUR)?;
    it.backend.set("n", 1, Ttl::Never).await?;
    it.backend.atomic_update("n", None, next).await?;
    eq(it.backend.ttl("n").await?, Some(Ttl::Never))?;
    it.backend.incr("counter", HOUR).await?;
    it.backend.atomic_update("counter", None, next).await?;
    it.near(it.backend.ttl("counter").await?, HOUR)?;
    // What is born has the default.
    it.backend.atomic_update("new", None, next).await?;
    let default = it.backend.default_ttl();
    match default {
        Ttl::After(default) => it.near(it.backend.ttl("new").await?, default),
        Ttl::Never => eq(it.backend.ttl("new").await?, Some(default)),
    }
}

pub(super) async fn sets_ttl<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.atomic_update("n", HOUR, next).await?;
    it.near(it.backend.ttl("n").await?, HOUR)?;
    it.backend.atomic_update("n", Ttl::Never, next).await?;
    eq(it.backend.ttl("n").await?, Some(Ttl::Never))?;
    it.backend
        .atomic_update("n", Some(HOUR.into()), next)
        .await?;
    it.near(it.backend.ttl("n").await?, HOUR)
}

pub(super) async fn zero<H: Harness>(it: Context<'_, H>) -> Outcome {
    let zero = Duration::ZERO;
    it.backend.set("n", 1, HOUR).await?;
    eq(it.backend.atomic_update("n", zero, next).await?, 2)?;
    eq(it.backend.get::<i64>("n").await?, None)?;
    eq(it.backend.atomic_update("n", zero, next).await?, 1)?;
    eq(it.backend.get::<i64>("n").await?, None)
}

/// An error of the user's own.
#[derive(Debug)]
enum Mine {
    Refused,
    Cache(Error),
}

impl From<Error> for Mine {
    fn from(error: Error) -> Self {
        Self::Cache(error)
    }
}

async fn refuse_with_mine<H: Harness>(it: &Context<'_, H>, key: &str) -> Outcome {
    let refuse = |_: Option<i64>| async { Err(Mine::Refused) };
    let result = it.backend.try_atomic_update(key, None, refuse).await;
    match result {
        Err(Mine::Refused) => Ok(()),
        Err(Mine::Cache(error)) => Err(error.into()),
        Ok(n) => ensure(false, || format!("no error, but {n}")),
    }
}

pub(super) async fn fails<H: Harness>(it: Context<'_, H>) -> Outcome {
    refuse_with_mine(&it, "n").await?;
    eq(it.backend.get::<i64>("n").await?, None)?;
    it.backend.set("n", 7, MINUTE).await?;
    refuse_with_mine(&it, "n").await?;
    eq(it.backend.get("n").await?, Some(7))?;
    it.near(it.backend.ttl("n").await?, MINUTE)?;
    // And nobody waits for a turn that was not given up.
    eq(it.backend.atomic_update("n", None, next).await?, 8)
}

pub(super) async fn panics<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("n", 7, MINUTE).await?;
    let backend = Arc::clone(&it.backend);
    let panicked = it.spawn(async move {
        let panic = |n: Option<i64>| async move {
            // Not `panic!`: the hook would print it.
            std::panic::resume_unwind(Box::new(n))
        };
        let _: Result<i64, _> = backend.atomic_update("n", None, panic).await;
    });
    ensure(panicked.join().await.is_none(), || "no panic".to_owned())?;
    eq(it.backend.get("n").await?, Some(7))?;
    eq(it.backend.atomic_update("n", None, next).await?, 8)
}

pub(super) async fn cancelled<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("n", 7, MINUTE).await?;
    let entered = Gate::default();
    let hang = |_: Option<i64>| {
        entered.open();
        forever::<i64>()
    };
    drop_at(&entered, it.backend.atomic_update("n", None, hang)).await;
    eq(it.backend.get("n").await?, Some(7))?;
    // One that waits for its turn, too: whoever is behind it still gets theirs.
    let (entered, go, behind) = (Gate::default(), Gate::default(), Gate::default());
    let first = {
        let (backend, entered, go) = (Arc::clone(&it.backend), entered.clone(), go.clone());
        it.spawn(async move {
            let wait = |n: Option<i64>| {
                entered.open();
                let go = go.clone();
                async move {
                    go.passed().await;
                    n.unwrap_or(0) + 1
                }
            };
            backend.atomic_update("n", None, wait).await
        })
    };
    entered.passed().await;
    behind.open();
    drop_at(&behind, it.backend.atomic_update("n", None, next)).await;
    let backend = Arc::clone(&it.backend);
    let last = it.spawn(async move { backend.atomic_update("n", None, next).await });
    go.open();
    eq(first.join().await.transpose()?, Some(8))?;
    eq(last.join().await.transpose()?, Some(9))
}

pub(super) async fn refused<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("x", 1.5, MINUTE).await?;
    let nan = |x: Option<f64>| ready(x.unwrap_or(0.0) * f64::NAN);
    let result = it.backend.atomic_update("x", None, nan).await;
    tools::fails(result, Error::is_encoding)?;
    eq(it.backend.get("x").await?, Some(1.5))
}

pub(super) async fn wrong_type<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("n", "text", MINUTE).await?;
    let result = it.backend.atomic_update("n", None, next).await;
    tools::fails(result, Error::is_decoding)?;
    eq(it.backend.get("n").await?, Some("text".to_owned()))
}

/// Adds one, while `change` comes between the first reading and writing; what it came to, and what each run of the closure saw.
async fn next_beside<H: Harness, T>(
    it: &Context<'_, H>,
    change: impl Future<Output = Result<T, Error>> + Send,
) -> Result<(i64, Vec<Option<i64>>), Broken> {
    let (change, seen) = (Mutex::new(Some(change)), Mutex::new(Vec::new()));
    let update = |n: Option<i64>| {
        seen.lock().push(n);
        let change = change.lock().take();
        async move {
            if let Some(change) = change {
                // Nothing is locked: others write, and so may the closure.
                let _ = change.await;
            }
            next(n).await
        }
    };
    let sum = it.backend.atomic_update("n", None, update).await?;
    Ok((sum, seen.into_inner()))
}

pub(super) async fn again<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("n", 1, MINUTE).await?;
    let changed = next_beside(&it, it.backend.set("n", 10, MINUTE)).await?;
    eq(changed, (11, vec![Some(1), Some(10)]))?;
    // Removed meanwhile: the closure sees that, too.
    let removed = next_beside(&it, it.backend.delete("n")).await?;
    eq(removed, (1, vec![Some(11), None]))
}

pub(super) async fn contention<H: Harness>(it: Context<'_, H>) -> Outcome {
    let runs = Mutex::new(0_u64);
    let update = |n: Option<i64>| {
        *runs.lock() += 1;
        let run = *runs.lock();
        let backend = &it.backend;
        async move {
            let _ = backend.set("n", ("someone else's", run), MINUTE).await;
            let _ = backend.set("n", run * 10, MINUTE).await;
            n.unwrap_or(0) + 1
        }
    };
    let result = it.backend.atomic_update("n", None, update).await;
    tools::fails(result, Error::is_contention)?;
    let runs = runs.into_inner();
    ensure((2..10_000).contains(&runs), || format!("{runs} attempts"))?;
    eq(it.backend.get("n").await?, Some(runs * 10))
}

pub(super) async fn inside<H: Harness>(it: Context<'_, H>) -> Outcome {
    let update = |n: Option<i64>| {
        let backend = &it.backend;
        async move {
            // Another key takes its turn, its own key does without.
            let other = backend.atomic_update("other", None, next).await;
            let own = backend.atomic_update("n", None, next).await;
            n.unwrap_or(0) + other.unwrap_or(0) + own.unwrap_or(0)
        }
    };
    let result = it.backend.atomic_update("n", None, update).await;
    tools::fails(result, Error::is_contention)?;
    eq(
        it.backend.get::<i64>("n").await?,
        it.backend.get("other").await?,
    )
}

/// Two updates, each of which begins before the other's closure updates its key.
pub(super) async fn crossing<H: Harness>(it: Context<'_, H>) -> Outcome {
    let begun = [Gate::default(), Gate::default()];
    let updates = [0, 1].map(|own| {
        let (backend, begun) = (Arc::clone(&it.backend), begun.clone());
        it.spawn(async move {
            let keys = ["a", "b"];
            let outer = async |n: Option<i64>| {
                begun[own].open();
                begun[1 - own].passed().await;
                let other = backend.atomic_update(keys[1 - own], None, next).await;
                n.unwrap_or(0) + other.map_or(0, |_| 1)
            };
            backend.atomic_update(keys[own], None, outer).await
        })
    });
    for update in updates {
        let sum = update.join().await.transpose()?;
        ensure(sum.is_some_and(|sum| sum >= 1), || format!("{sum:?}"))?;
    }
    let both = it.backend.get_many::<i64>(&["a", "b"]).await?;
    ensure(both.iter().all(|n| n.is_some_and(|n| n >= 2)), || {
        format!("{both:?}")
    })
}

pub(super) async fn compare<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let value = |n: i64| Value::new(vec![n]);
    let is = async |want: Option<Vec<i64>>| eq(backend.get("k").await?, want);
    eq(
        backend.compare_and_set("k", None, value(1)?, None).await?,
        true,
    )?;
    eq(backend.ttl("k").await?, Some(Ttl::Never))?;
    eq(
        backend.compare_and_set("k", None, value(2)?, None).await?,
        false,
    )?;
    is(Some(vec![1])).await?;
    let old = current(&it).await?;
    let minute = Some(Ttl::After(MINUTE));
    eq(
        backend
            .compare_and_set("k", Some(&old), value(3)?, minute)
            .await?,
        true,
    )?;
    eq(
        backend
            .compare_and_set("k", Some(&old), value(4)?, None)
            .await?,
        false,
    )?;
    is(Some(vec![3])).await?;
    let old = current(&it).await?;
    eq(
        backend
            .compare_and_set("k", Some(&old), value(5)?, None)
            .await?,
        true,
    )?;
    it.near(backend.ttl("k").await?, MINUTE)?;
    let old = current(&it).await?;
    let zero = Some(Ttl::After(Duration::ZERO));
    eq(
        backend
            .compare_and_set("k", Some(&old), value(6)?, zero)
            .await?,
        true,
    )?;
    is(None).await?;
    eq(
        backend
            .compare_and_set("k", Some(&old), value(7)?, None)
            .await?,
        false,
    )?;
    is(None).await
}

async fn current<H: Harness>(it: &Context<'_, H>) -> Result<Value, Broken> {
    let value = it.backend.get_value("k").await?;
    value.ok_or_else(|| Error::decoding("nothing there").into())
}

pub(super) async fn concurrent<H: Harness>(it: Context<'_, H>) -> Outcome {
    const TASKS: usize = 16;
    const EACH: usize = 500;
    let tasks = (0..TASKS).map(|task| {
        let backend = Arc::clone(&it.backend);
        async move {
            for round in 0..EACH {
                let push = |log: Option<Vec<(usize, usize)>>| async move {
                    let mut log = log.unwrap_or_default();
                    if round % 7 == 0 {
                        step_aside().await;
                    }
                    // Only the last of each task: the log stays short.
                    log.retain(|(of, at)| *of != task || at + 1 != round);
                    log.push((task, round));
                    log
                };
                backend.atomic_update("log", None, push).await?;
                let add = |n: Option<i64>| next(n);
                backend.atomic_update("n", None, add).await?;
            }
            Ok::<_, Error>(())
        }
    });
    for ended in it.join(tasks).await {
        ended.unwrap_or_else(|| Err(Error::closed()))?;
    }
    eq(it.backend.get("n").await?, Some(TASKS * EACH))?;
    let mut log: Vec<(usize, usize)> = it.backend.get("log").await?.unwrap_or_default();
    log.sort_unstable();
    let want: Vec<_> = (0..TASKS).map(|task| (task, EACH - 1)).collect();
    eq(log, want)
}

pub(super) async fn mixed<H: Harness>(it: Context<'_, H>) -> Outcome {
    const TASKS: usize = 4;
    const EACH: usize = 250;
    // One that comes between whatever the schedule: below, all increments may be over before the first update begins.
    it.backend.incr("n", MINUTE).await?;
    let counted = next_beside(&it, it.backend.incr("n", MINUTE)).await?;
    eq(counted, (3, vec![Some(1), Some(2)]))?;
    let increments = (0..TASKS).map(|_| {
        let backend = Arc::clone(&it.backend);
        async move {
            for _ in 0..EACH {
                backend.incr("n", MINUTE).await?;
                step_aside().await;
            }
            Ok::<_, Error>(())
        }
    });
    let increments: Vec<_> = increments.map(|task| it.spawn(task)).collect();
    let updates = (0..TASKS).map(|task| {
        let backend = Arc::clone(&it.backend);
        async move {
            let mut done = 0;
            while done < EACH {
                // Some set a time, which replaces a counter as a whole.
                let ttl = (task == 0).then_some(Ttl::After(HOUR));
                let add = |n: Option<i64>| async move {
                    // Long enough for an increment to come between.
                    step_aside().await;
                    next(n).await
                };
                match backend.atomic_update("n", ttl, add).await {
                    Ok(_) => done += 1,
                    Err(error) if error.is_contention() => (),
                    Err(error) => return Err(error),
                }
            }
            Ok::<_, Error>(())
        }
    });
    for ended in it.join(updates).await {
        ended.unwrap_or_else(|| Err(Error::closed()))?;
    }
    for task in increments {
        task.join().await.unwrap_or_else(|| Err(Error::closed()))?;
    }
    eq(it.backend.get("n").await?, Some(3 + 2 * TASKS * EACH))
}
