//! Removing all entries of one prefix: SCAN and UNLINK on every master, in batches, never FLUSHDB.
//!
//! What was there all the time is removed; what is written meanwhile may be removed or stay. If the cluster moved slots
//! meanwhile, a key may have been on neither node when that was scanned: then all is scanned again. So it is if the connection
//! was made anew in the middle of a scan: a cursor means nothing to a server that was restarted, or to another one.

use super::failure::Failure;
use super::link::{Link, Replay};
use super::servers::{Addressed, Masters, Servers};
use crate::backend::alarm;
use crate::error::Error;
use redis::{FromRedisValue, cmd};
use std::sync::Arc;
use std::time::Duration;

/// About as many keys are looked at in one go.
const COUNT: usize = 1_000;
/// How often all is scanned, when slots keep moving.
const SCANS: u32 = 4;

/// `budget` is that of each command.
pub(super) async fn flush(
    servers: &Servers,
    prefix: &str,
    budget: Duration,
) -> Result<(), Failure> {
    let pattern = pattern(prefix);
    let masters = || async {
        let masters = servers.masters(alarm::after(budget)).await;
        masters.map_err(Failure::Unsent)
    };
    let mut before = masters().await?;
    for _ in 0..SCANS {
        for link in before.links() {
            flush_one(servers, &link, &pattern, budget).await?;
        }
        let after = match &before {
            Masters::One(_) => return Ok(()),
            Masters::Cluster(_) => masters().await?,
        };
        if before.are_like(&after) {
            return Ok(());
        }
        before = after;
    }
    let text = "slots of the cluster keep moving";
    Err(Failure::Unknown(Error::connection(text)))
}

async fn flush_one(
    servers: &Servers,
    link: &Arc<Link>,
    pattern: &[u8],
    budget: Duration,
) -> Result<(), Failure> {
    for _ in 0..SCANS {
        // The first command makes the first connection.
        let made = link.made().max(1);
        scan(servers, link, pattern, budget).await?;
        if link.made() == made {
            return Ok(());
        }
    }
    let text = format!("{}: the connection keeps breaking", link.place());
    Err(Failure::Unknown(Error::connection(text)))
}

async fn scan(
    servers: &Servers,
    link: &Arc<Link>,
    pattern: &[u8],
    budget: Duration,
) -> Result<(), Failure> {
    let mut cursor = b"0".to_vec();
    loop {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor)
            .arg("MATCH")
            .arg(pattern)
            .arg("COUNT")
            .arg(COUNT);
        let answer = link.one(&scan, alarm::after(budget), Replay::Safe).await?;
        let (next, keys) = <(Vec<u8>, Vec<Vec<u8>>)>::from_redis_value(answer).map_err(|_| {
            let text = format!("{}: SCAN answered something else", link.place());
            Failure::Unknown(Error::connection(text))
        })?;
        remove(servers, keys, budget).await?;
        if next == b"0" {
            return Ok(());
        }
        cursor = next;
    }
}

async fn remove(servers: &Servers, keys: Vec<Vec<u8>>, budget: Duration) -> Result<(), Failure> {
    let unlinks = keys.into_iter().map(|key| {
        let mut command = cmd("UNLINK");
        command.arg(&key);
        Addressed { key, command }
    });
    // Safe to send twice: what is gone is gone.
    let answers = servers.many(unlinks.collect(), budget, Replay::Safe).await;
    answers.into_iter().try_for_each(|answer| answer.map(drop))
}

/// What starts with the prefix, whatever it is made of.
fn pattern(prefix: &str) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for &byte in prefix.as_bytes() {
        if matches!(byte, b'*' | b'?' | b'[' | b']' | b'\\' | b'^' | b'-') {
            pattern.push(b'\\');
        }
        pattern.push(byte);
    }
    pattern.push(b'*');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_taken_literally() {
        assert_eq!(pattern("cache:"), b"cache:*");
        assert_eq!(pattern("a*b?[c]\\"), b"a\\*b\\?\\[c\\]\\\\*");
    }
}
