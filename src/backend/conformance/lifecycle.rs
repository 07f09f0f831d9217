//! Rows: flush, verify, close.

use super::Harness;
use super::tools::{Context, Outcome, eq, fails};
use crate::backend::{CacheBackend, CacheBackendExt, Value};
use crate::error::Error;
use crate::time::Ttl;
use std::sync::Arc;

pub(super) async fn flush<H: Harness>(it: Context<'_, H>) -> Outcome {
    let foreign = it.harness.backend().await;
    foreign.set("key", "foreign", Ttl::Never).await?;
    it.backend.flush().await?;
    let keys: Vec<String> = (0..2_500).map(|n| format!("key\n*{n}")).collect();
    for key in &keys {
        it.backend.set(key, 1, Ttl::Never).await?;
    }
    it.backend.incr("counter", Ttl::Never).await?;
    it.backend.flush().await?;
    for key in &keys {
        eq(it.backend.get::<u8>(key).await?, None)?;
    }
    eq(it.backend.incr("counter", Ttl::Never).await?, 1)?;
    eq(foreign.get("key").await?, Some("foreign".to_owned()))
}

pub(super) async fn flush_busy<H: Harness>(it: Context<'_, H>) -> Outcome {
    it.backend.set("before", 1, Ttl::Never).await?;
    let writers = (0..8).map(|task| {
        let backend = Arc::clone(&it.backend);
        async move {
            for n in 0..100 {
                let key = format!("{task}:{n}");
                backend.set(&key, n, Ttl::Never).await?;
                backend.get::<i32>(&key).await?;
            }
            // After every flush there was.
            backend.set(&format!("last:{task}"), task, Ttl::Never).await
        }
    });
    let writers: Vec<_> = writers.map(|task| it.spawn(task)).collect();
    for _ in 0..10 {
        it.backend.flush().await?;
    }
    for writer in writers {
        writer
            .join()
            .await
            .unwrap_or_else(|| Err(Error::closed()))?;
    }
    eq(it.backend.get::<u8>("before").await?, None)?;
    it.backend.set("after", 1, Ttl::Never).await?;
    eq(it.backend.get("after").await?, Some(1))
}

pub(super) async fn verify<H: Harness>(it: Context<'_, H>) -> Outcome {
    Ok(it.backend.verify().await?)
}

pub(super) async fn close<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    backend.set("key", 1, Ttl::Never).await?;
    backend.close().await?;
    fails(backend.get::<u8>("key").await, Error::is_closed)?;
    fails(backend.get_shared::<u8>("key").await, Error::is_closed)?;
    fails(backend.set("key", 1, Ttl::Never).await, Error::is_closed)?;
    fails(backend.delete("key").await, Error::is_closed)?;
    fails(backend.flush().await, Error::is_closed)?;
    fails(backend.incr("key", Ttl::Never).await, Error::is_closed)?;
    fails(backend.ttl("key").await, Error::is_closed)?;
    fails(backend.get_many::<u8>(&["key"]).await, Error::is_closed)?;
    fails(
        backend.set_many([("key", 1)], Ttl::Never).await,
        Error::is_closed,
    )?;
    fails(backend.delete_many(&["key"]).await, Error::is_closed)?;
    let update = |_: Option<u8>| async { 1 };
    fails(
        backend.atomic_update("key", None, update).await,
        Error::is_closed,
    )?;
    let load = || async { Ok::<_, Error>(1) };
    fails(
        backend.get_or_load("key", Ttl::Never, load).await,
        Error::is_closed,
    )?;
    fails(backend.verify().await, Error::is_closed)?;
    // Twice does no harm.
    Ok(backend.close().await?)
}

/// Whatever a caller does not wait for does not hang the next.
pub(super) async fn send<H: Harness>(it: Context<'_, H>) -> Outcome {
    fn is_send<T: Send>(_: T) {}
    let backend: &dyn CacheBackend = &*it.backend;
    is_send(backend.get::<String>("key"));
    is_send(backend.get_value("key"));
    is_send(backend.set("key", 1, Ttl::Never));
    is_send(backend.set_value("key", Value::integer(1), Ttl::Never));
    is_send(backend.atomic_update("key", None, |_: Option<u8>| async { 1 }));
    is_send(backend.get_or_load("key", Ttl::Never, || async { Ok::<u8, Error>(1) }));
    it.backend.set("key", 2, Ttl::Never).await?;
    eq(it.backend.get("key").await?, Some(2))
}
