//! Removing all entries of one prefix: SCAN and UNLINK on every primary, in batches, never FLUSHDB.
//!
//! Leases are removed before all else: else a load could be stored behind the scan, by a lease that the scan has not come to yet.
//!
//! What was there all the time is removed; what is written meanwhile may be removed or stay. If the cluster moved hash slots
//! meanwhile, a key may have been on neither node when that was scanned: then all is scanned again. The same is done if the
//! connection was made anew in the middle of a scan: a cursor means nothing to a server that was restarted, or to another one.

use super::announced::Telling;
use super::failure::Failure;
use super::link::Link;
use super::request::Replay;
use super::{Addressed, Primaries, Servers};
use crate::backend::redis::command::{Key, LEASE_MARK, LEASE_SUFFIX};
use crate::error::Error;
use redis::{FromRedisValue, cmd};
use std::sync::Arc;

/// About this many keys are looked at in one go.
const COUNT: usize = 1_000;
/// So many values are looked at together, which are in memory for that.
const BATCH: usize = 100;
/// How often all is scanned, when hash slots keep moving or the connection keeps breaking.
const SCANS: u32 = 4;

/// What matches it is looked for, and what is done about it.
type Sweep<'s> = (Vec<u8>, What<'s>);

/// What is removed of the keys that are found.
#[derive(Clone, Copy)]
enum What<'s> {
    All,
    /// Values, of which is asked by their keys whether they are to be removed, and nothing that may be a counter: see `repair`.
    Values {
        prefix: &'s str,
        is_wanted: &'s (dyn Fn(&str) -> bool + Sync),
    },
}

impl Servers {
    /// Removes every key that starts with the prefix.
    pub(in crate::backend::redis) async fn flush(&self, prefix: &str) -> Result<(), Error> {
        let leases = (pattern_of_leases(prefix), What::All);
        let sweeps = [leases, (pattern(prefix), What::All)];
        let flushed = self.flush_all(&sweeps);
        flushed.await.map_err(|failure| self.error(failure))
    }

    /// Removes every lease, and of the values that start with the prefix those that are wanted, and that no counter may be.
    pub(in crate::backend::redis) async fn flush_seen(
        &self,
        prefix: &str,
        is_wanted: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), Error> {
        let leases = (pattern_of_leases(prefix), What::All);
        let values = What::Values { prefix, is_wanted };
        let sweeps = [leases, (pattern(prefix), values)];
        let flushed = self.flush_all(&sweeps);
        flushed.await.map_err(|failure| self.error(failure))
    }

    async fn flush_all(&self, sweeps: &[Sweep<'_>]) -> Result<(), Failure> {
        let primaries = async || {
            let primaries = self.primaries(self.deadline()).await;
            primaries.map_err(Failure::Unsent)
        };
        let mut before = primaries().await?;
        for _ in 0..SCANS {
            for link in before.links() {
                self.flush_one(&link, sweeps).await?;
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

    async fn flush_one(&self, link: &Arc<Link>, sweeps: &[Sweep<'_>]) -> Result<(), Failure> {
        for _ in 0..SCANS {
            // The first command makes the first connection.
            let made = link.made().max(1);
            for (pattern, what) in sweeps {
                self.scan(link, pattern, *what).await?;
            }
            if link.made() == made {
                return Ok(());
            }
        }
        let text = format!("{}: the connection keeps breaking", link.name());
        Err(Failure::Unknown(Error::connection(text)))
    }

    async fn scan(&self, link: &Arc<Link>, pattern: &[u8], what: What<'_>) -> Result<(), Failure> {
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
            match what {
                What::All => self.unlink(keys).await?,
                What::Values { prefix, is_wanted } => {
                    self.remove(prefix, &keys, is_wanted).await?;
                }
            }
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

    async fn remove(
        &self,
        prefix: &str,
        keys: &[Vec<u8>],
        is_wanted: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<(), Failure> {
        // What is no text is no key of ours, or a lease.
        let keys = keys.iter().filter_map(|key| {
            let key = key.strip_prefix(prefix.as_bytes())?;
            let key = std::str::from_utf8(key).ok()?;
            Some(Key { prefix, key })
        });
        let keys: Vec<Key<'_>> = keys.filter(|key| is_wanted(key.key)).collect();
        for keys in keys.chunks(BATCH) {
            let is_wanted = |nth: usize| is_wanted(keys[nth].key);
            let removals = self.remove_each(keys, &is_wanted).await;
            removals
                .into_iter()
                .try_for_each(|removal| removal.map(drop))?;
        }
        Ok(())
    }
}

fn pattern_of_leases(prefix: &str) -> Vec<u8> {
    let mut leases = pattern(prefix);
    leases.extend(LEASE_MARK);
    leases.resize(leases.len() + LEASE_SUFFIX - LEASE_MARK.len(), b'?');
    leases
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
