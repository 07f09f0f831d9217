//! Rows: compression.

use super::super::Harness;
use super::super::tools::{Context, Outcome, ensure, eq, fails};
use super::{MINUTE, all};
use crate::backend::{CacheBackendExt, Codec};
use crate::error::Error;

pub(in super::super) async fn compressed<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    let large = "large ".repeat(100_000);
    for codec in all() {
        let codec = codec.zstd_above(1_000);
        let it = backend.with_codec(&codec).make_strict();
        it.set("key", large.clone(), MINUTE).await?;
        let stored = backend.get_value("key").await?;
        let len = match &stored {
            Some(stored) => stored.encode()?.len(),
            None => 0,
        };
        ensure(len > 0 && len < 10_000, || format!("{len} bytes"))?;
        eq(it.get("key").await?, Some(large.clone()))?;
    }
    Ok(())
}

pub(in super::super) async fn bomb<H: Harness>(it: Context<'_, H>) -> Outcome {
    let backend = &*it.backend;
    for codec in all() {
        let codec = codec.zstd_above(0);
        let writer = backend.with_codec(&codec);
        writer.set("key", "0".repeat(1 << 20), MINUTE).await?;
        let limited = codec.clone().limit(1 << 19);
        let limited = backend.with_codec(&limited);
        let before = backend.undecodable().oversized;
        eq(limited.get::<String>("key").await?, None)?;
        eq(backend.undecodable().oversized, before + 1)?;
        fails(
            limited.strict().get::<String>("key").await,
            Error::is_decoding,
        )?;
        // What it would not read, it does not compress.
        limited.set("key", "0".repeat(1 << 20), MINUTE).await?;
        eq(
            limited.get::<String>("key").await?.map(|it| it.len()),
            Some(1 << 20),
        )?;
    }
    let plain = backend.with_codec(&Codec::json());
    eq(plain.get::<String>("key").await?, None)
}
