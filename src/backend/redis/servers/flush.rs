//! Removing all entries of one prefix: SCAN and UNLINK on every primary, in batches, never FLUSHDB.
//!
//! Leases are removed before all else: else a load could be stored behind the scan, by a lease that the scan has not come to yet.
//!
//! What was there all the time is removed; what is written meanwhile may be removed or stay. If the cluster moved hash slots
//! meanwhile, a key may have been on neither node when that was scanned: then all is scanned again. The same is done if the
//! connection was made anew in the middle of a scan: a cursor means nothing to a server that was restarted, or to another one.

use super::announce::Telling;
use super::failure::Failure;
use super::link::{Link, Replay};
use super::{Addressed, Primaries, Servers};
use crate::backend::redis::command::{LEASE_MARK, LEASE_SUFFIX};
use crate::error::Error;
use redis::{FromRedisValue, cmd};
use std::sync::Arc;

/// About this many keys are looked at in one go.
const COUNT: usize = 1_000;
/// How often all is scanned, when hash slots keep moving or the connection keeps breaking.
const SCANS: u32 = 4;

impl Servers {
    /// Removes every key that starts with the prefix.
    pub(in crate::backend::redis) async fn flush(&self, prefix: &str) -> Result<(), Error> {
        let mut leases = pattern(prefix);
        leases.extend(LEASE_MARK);
        leases.resize(leases.len() + LEASE_SUFFIX - LEASE_MARK.len(), b'?');
        let flushed = self.flush_all([&leases, &pattern(prefix)]).await;
        flushed.map_err(|failure| self.error(failure))
    }

    async fn flush_all(&self, patterns: [&[u8]; 2]) -> Result<(), Failure> {
        let primaries = async || {
            let primaries = self.primaries(self.deadline()).await;
            primaries.map_err(Failure::Unsent)
        };
        let mut before = primaries().await?;
        for _ in 0..SCANS {
            for link in before.links() {
                self.flush_one(&link, patterns).await?;
            }
            let after = match &before {
                Primaries::One(_) => return Ok(()),
                Primaries::Cluster(_) => primaries().await?,
            };
            if before.are_like(&after) {
                return Ok(());
            }
            before = after;
        }
        let text = "slots of the cluster keep moving";
        Err(Failure::Unknown(Error::connection(text)))
    }

    async fn flush_one(&self, link: &Arc<Link>, patterns: [&[u8]; 2]) -> Result<(), Failure> {
        for _ in 0..SCANS {
            // The first command makes the first connection.
            let made = link.made().max(1);
            for pattern in patterns {
                self.scan(link, pattern).await?;
            }
            if link.made() == made {
                return Ok(());
            }
        }
        let text = format!("{}: the connection keeps breaking", link.name());
        Err(Failure::Unknown(Error::connection(text)))
    }

    async fn scan(&self, link: &Arc<Link>, pattern: &[u8]) -> Result<(), Failure> {
        let mut cursor = b"0".to_vec();
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(&cursor)
                .arg("MATCH")
                .arg(pattern)
                .arg("COUNT")
                .arg(COUNT);
            let answer = link.one(&scan, self.deadline(), Replay::Safe).await?;
            let (next, keys) =
                <(Vec<u8>, Vec<Vec<u8>>)>::from_redis_value(answer).map_err(|_| {
                    let text = format!("{}: SCAN answered something else", link.name());
                    Failure::Unknown(Error::connection(text))
                })?;
            self.unlink(keys).await?;
            if next == b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    async fn unlink(&self, keys: Vec<Vec<u8>>) -> Result<(), Failure> {
        let unlinks = keys.into_iter().map(|key| {
            let mut command = cmd("UNLINK");
            command.arg(&key);
            Addressed { key, command }
        });
        // Safe to send twice: what is gone is gone.
        let telling = self
            .channel
            .as_ref()
            .map_or(Telling::Nothing, Telling::Anything);
        let answers = self.many(unlinks.collect(), Replay::Safe, telling).await;
        answers.into_iter().try_for_each(|answer| answer.map(drop))
    }
}

/// Matches what starts with the prefix, whatever characters are in it.
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
