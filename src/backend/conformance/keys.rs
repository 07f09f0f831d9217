//! Rows: keys.

use super::Harness;
use super::tools::{Context, Outcome, ensure, eq};
use crate::backend::CacheBackendExt;
use crate::time::Ttl;

/// Keys that a store might trip over.
const ODD: &[&str] = &[
    "",
    " ",
    "a",
    "a ",
    "A",
    "new\nline",
    "carriage\r\nreturn",
    "nul\0nul",
    "nul",
    "*",
    "**",
    "?",
    "[a-z]",
    "a[bc]*?\\",
    "\\*",
    "{tag}",
    "{tag}a",
    "{}",
    "}{",
    "ü",
    "u\u{308}",
    "✓",
    "\u{10FFFF}",
    "cache:",
    "cache:a",
    ":",
    "key with spaces and \"quotes\" 'too'",
    "%s%n",
    "$ENV",
    "../up",
    "\u{7f}\u{1b}[31m",
];

pub(super) async fn odd<H: Harness>(it: Context<'_, H>) -> Outcome {
    for (number, key) in ODD.iter().enumerate() {
        it.backend.set(key, number, Ttl::Never).await?;
    }
    for (number, key) in ODD.iter().enumerate() {
        eq(it.backend.get(key).await?, Some(number))?;
        eq(it.backend.ttl(key).await?, Some(Ttl::Never))?;
    }
    let all = it.backend.get_many::<usize>(ODD).await?;
    eq(all, (0..ODD.len()).map(Some).collect::<Vec<_>>())?;
    for (number, key) in ODD.iter().enumerate() {
        let sum = it.backend.incr(key, Ttl::Never).await?;
        eq(sum, number as i64 + 1)?;
        let update = it
            .backend
            .atomic_update(key, None, |n: Option<usize>| async move {
                n.unwrap_or_default() + 1
            });
        eq(update.await?, number + 2)?;
    }
    for key in ODD {
        eq(it.backend.delete(key).await?, true)?;
        eq(it.backend.get::<usize>(key).await?, None)?;
    }
    Ok(())
}

pub(super) async fn long<H: Harness>(it: Context<'_, H>) -> Outcome {
    let long = "k".repeat(1 << 20);
    let other = "k".repeat((1 << 20) - 1);
    it.backend.set(&long, 1, Ttl::Never).await?;
    eq(it.backend.get::<u8>(&other).await?, None)?;
    eq(it.backend.incr(&long, Ttl::Never).await?, 2)?;
    eq(it.backend.get(&long).await?, Some(2))?;
    it.backend.set(&long, "text", Ttl::Never).await?;
    let message = match it.backend.strict().get::<u8>(&long).await {
        Err(error) => error.to_string(),
        Ok(_) => String::new(),
    };
    ensure(!message.is_empty() && message.len() < 1000, || {
        format!("an error of {} bytes", message.len())
    })?;
    eq(it.backend.delete(&long).await?, true)
}

pub(super) async fn globs<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("abc", 1, Ttl::Never).await?;
    for pattern in ["*", "a*", "?bc", "[a]bc", "a\\bc"] {
        eq(it.backend.get::<u8>(pattern).await?, None)?;
        eq(it.backend.delete(pattern).await?, false)?;
        eq(it.backend.delete_many(&[pattern]).await?, 0)?;
    }
    eq(it.backend.get("abc").await?, Some(1))
}

pub(super) async fn errors<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("a\nkey", "text", Ttl::Never).await?;
    let shown = |message: String, operation: &str| {
        let start = format!("{operation} \"a\\nkey\": ");
        ensure(message.starts_with(&start), || message)
    };
    let error = it.backend.strict().get::<u8>("a\nkey").await.err();
    shown(error.map(|it| it.to_string()).unwrap_or_default(), "get")?;
    let error = it.backend.set("a\nkey", f64::NAN, Ttl::Never).await.err();
    shown(error.map(|it| it.to_string()).unwrap_or_default(), "set")?;
    let error = it.backend.incr("a\nkey", Ttl::Never).await.err();
    shown(error.map(|it| it.to_string()).unwrap_or_default(), "incr")?;
    let update = |_: Option<u8>| async { 1 };
    let error = it.backend.atomic_update("a\nkey", None, update).await.err();
    let message = error.map(|it| it.to_string()).unwrap_or_default();
    shown(message, "atomic_update")
}
