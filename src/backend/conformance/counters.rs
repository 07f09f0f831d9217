//! Rows: counters.

use super::Harness;
use super::tools::{Context, Outcome, ensure, eq, fails};
use crate::backend::{CacheBackendExt, Value};
use crate::error::Error;
use crate::time::Ttl;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

pub(super) async fn born<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(it.backend.incr("one", MINUTE).await?, 1)?;
    eq(it.backend.incr_by("forty", 40, MINUTE).await?, 40)?;
    eq(it.backend.incr_by("minus", -3, MINUTE).await?, -3)?;
    eq(it.backend.incr_by("nothing", 0, MINUTE).await?, 0)?;
    eq(it.backend.get("nothing").await?, Some(0))
}

pub(super) async fn adds<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(it.backend.incr("n", MINUTE).await?, 1)?;
    eq(it.backend.incr_by("n", 41, MINUTE).await?, 42)?;
    eq(it.backend.incr_by("n", -50, MINUTE).await?, -8)?;
    eq(it.backend.incr_by("n", 0, MINUTE).await?, -8)?;
    eq(it.backend.get("n").await?, Some(-8))?;
    eq(it.backend.delete("n").await?, true)?;
    eq(it.backend.incr("n", MINUTE).await?, 1)
}

pub(super) async fn ttl<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.incr("n", MINUTE).await?;
    for ttl in [Ttl::After(HOUR), Ttl::Never, Ttl::After(Duration::ZERO)] {
        it.backend.incr("n", ttl).await?;
        it.near(it.backend.ttl("n").await?, MINUTE)?;
    }
    it.backend.incr("forever", Ttl::Never).await?;
    it.backend.incr("forever", MINUTE).await?;
    eq(it.backend.ttl("forever").await?, Some(Ttl::Never))?;
    it.backend.set("set", 1, MINUTE).await?;
    it.backend.incr("set", HOUR).await?;
    it.near(it.backend.ttl("set").await?, MINUTE)
}

pub(super) async fn born_dead<H: Harness>(it: Context<'_, H>) -> Outcome {
    eq(it.backend.incr_by("n", 5, Duration::ZERO).await?, 5)?;
    eq(it.backend.get::<i64>("n").await?, None)?;
    eq(it.backend.incr_by("n", 5, Duration::ZERO).await?, 5)
}

pub(super) async fn of_values<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("n", 41_u8, MINUTE).await?;
    eq(it.backend.incr("n", HOUR).await?, 42)?;
    it.backend.set("n", json!(6), MINUTE).await?;
    eq(it.backend.incr("n", HOUR).await?, 7)?;
    it.backend.set("n", Some(8), MINUTE).await?;
    eq(it.backend.incr("n", HOUR).await?, 9)?;
    // A text that is an integer: another program may have written it.
    let value = Value::encoded(*b"-10");
    it.backend.set_value("n", value, Ttl::Never).await?;
    eq(it.backend.incr("n", HOUR).await?, -9)?;
    // And set over a counter.
    it.backend.set("n", "text", MINUTE).await?;
    eq(it.backend.get("n").await?, Some("text".to_owned()))
}

pub(super) async fn not_integer<H: Harness>(it: Context<'_, H>) -> Outcome {
    let values = [
        json!("text"),
        json!("5"),
        json!(5.0),
        json!(1.5),
        json!(null),
        json!(true),
        json!([1]),
        json!({"n": 1}),
        json!(1e300),
        json!(""),
    ];
    for value in values {
        it.backend.set("n", value.clone(), MINUTE).await?;
        fails(it.backend.incr("n", HOUR).await, Error::is_wrong_type)?;
        eq(it.backend.get("n").await?, Some(value))?;
        it.near(it.backend.ttl("n").await?, MINUTE)?;
    }
    for text in ["01", "+1", " 1", "1 ", "-0", "1e3", "", "x"] {
        let value = Value::encoded(text);
        it.backend.set_value("n", value, Ttl::Never).await?;
        fails(it.backend.incr("n", HOUR).await, Error::is_wrong_type)?;
    }
    Ok(())
}

pub(super) async fn overflow<H: Harness>(it: Context<'_, H>) -> Outcome {
    for (start, by) in [
        (i64::MAX, 1),
        (i64::MAX, i64::MAX),
        (i64::MAX - 1, 2),
        (i64::MIN, -1),
        (i64::MIN, i64::MIN),
        (-2, i64::MIN),
    ] {
        it.backend.set("n", start, MINUTE).await?;
        fails(it.backend.incr_by("n", by, HOUR).await, Error::is_overflow)?;
        eq(it.backend.get("n").await?, Some(start))?;
        it.near(it.backend.ttl("n").await?, MINUTE)?;
        // The same where it became a counter first.
        it.backend.delete("n").await?;
        it.backend.incr_by("n", start, MINUTE).await?;
        fails(it.backend.incr_by("n", by, HOUR).await, Error::is_overflow)?;
        eq(it.backend.incr_by("n", 0, HOUR).await?, start)?;
    }
    // Larger than any counter can be.
    it.backend.set("n", u64::MAX, MINUTE).await?;
    fails(it.backend.incr("n", HOUR).await, Error::is_wrong_type)?;
    eq(it.backend.get("n").await?, Some(u64::MAX))
}

pub(super) async fn large<H: Harness>(it: Context<'_, H>) -> Outcome {
    for start in [1_i64 << 53, 1 << 60, 1 << 61, 1 << 62, i64::MAX - 100_000] {
        for sign in [1, -1] {
            it.backend.delete("n").await?;
            let start = start * sign;
            eq(it.backend.incr_by("n", start, MINUTE).await?, start)?;
            eq(it.backend.incr_by("n", 0, HOUR).await?, start)?;
            eq(it.backend.incr_by("n", sign, HOUR).await?, start + sign)?;
            eq(
                it.backend.incr_by("n", 99_000 * sign, HOUR).await?,
                start + 99_001 * sign,
            )?;
            eq(it.backend.incr_by("n", -start, HOUR).await?, 99_001 * sign)?;
            eq(it.backend.get("n").await?, Some(99_001 * sign))?;
            it.near(it.backend.ttl("n").await?, MINUTE)?;
        }
    }
    eq(it.backend.incr_by("min", i64::MIN, MINUTE).await?, i64::MIN)?;
    eq(it.backend.get("min").await?, Some(i64::MIN))?;
    eq(it.backend.incr_by("min", i64::MAX, MINUTE).await?, -1)
}

pub(super) async fn reads<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.incr_by("n", 200, MINUTE).await?;
    eq(it.backend.get("n").await?, Some(200_u8))?;
    eq(it.backend.get("n").await?, Some(200_i64))?;
    eq(it.backend.get("n").await?, Some(200_u128))?;
    eq(it.backend.get("n").await?, Some(200.0))?;
    eq(it.backend.get("n").await?, Some(Some(200_u16)))?;
    eq(it.backend.get("n").await?, Some(json!(200)))?;
    eq(it.backend.get_shared("n").await?, Some(Arc::new(200_u32)))?;
    eq(it.backend.get::<i8>("n").await?, None)?;
    eq(it.backend.get::<String>("n").await?, None)
}

pub(super) async fn concurrent<H: Harness>(it: Context<'_, H>) -> Outcome {
    const TASKS: usize = 64;
    const EACH: usize = 1_000;
    let tasks = (0..TASKS).map(|_| {
        let backend = Arc::clone(&it.backend);
        async move {
            let mut sums = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                sums.push(backend.incr("n", HOUR).await?);
            }
            Ok::<_, Error>(sums)
        }
    });
    let mut all = Vec::new();
    for sums in it.join(tasks).await {
        let sums = sums.unwrap_or_else(|| Ok(Vec::new()))?;
        ensure(sums.is_sorted(), || {
            "a task saw the counter fall".to_owned()
        })?;
        all.extend(sums);
    }
    all.sort_unstable();
    let want = 1..=(TASKS * EACH) as i64;
    ensure(all.iter().copied().eq(want), || {
        "not every number came once".to_owned()
    })?;
    eq(it.backend.get("n").await?, Some(TASKS * EACH))
}

pub(super) async fn steps<H: Harness>(it: Context<'_, H>) -> Outcome {
    const EACH: i64 = 500;
    let large = 1_i64 << 40;
    let tasks = (0..8).map(|task| {
        let backend = Arc::clone(&it.backend);
        async move {
            for _ in 0..EACH {
                let by = if task % 4 == 0 { large } else { 1 };
                backend.incr_by("n", by, HOUR).await?;
            }
            Ok::<_, Error>(())
        }
    });
    for ended in it.join(tasks).await {
        ended.unwrap_or_else(|| Err(Error::closed()))?;
    }
    eq(
        it.backend.get("n").await?,
        Some(2 * EACH * large + 6 * EACH),
    )
}
