//! Snapshots: what a cache holds, written down, so that the next process starts warm.

mod blocks;
mod record;

use super::Cache;
use crate::core::reclaim;
use crate::error::Error;
use crate::time::Ttl;
use blocks::{Blocks, Opened};
use record::Record;
use serde_core::{Serialize, de::DeserializeOwned};
use std::cmp::Reverse;
use std::hash::{BuildHasher, Hash};
use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

/// # Snapshots
///
/// With the feature `serde`.
impl<K: Serialize, V: Serialize, S> Cache<K, V, S> {
    /// Writes all live entries down, with the time that each has left to live and how recently it was used; says how many.
    ///
    /// The bytes are a format of our own, versioned and checksummed (see `src/cache/snapshot/blocks.rs`), in which keys and values are
    /// MessagePack. They go to the writer as they are made, some 64 KiB at a time: a file needs no buffer. In memory there are
    /// a block, and some 80 bytes for each entry of one shard.
    ///
    /// Other threads may read and write meanwhile. Each entry is written as it was at one moment, but not all at the same one: what comes
    /// or goes during the call may be in the snapshot or not. `Serialize` runs without a lock, and holds up no other thread.
    ///
    /// To replace a file, write to another one and rename it: a process that ends half-way leaves one that
    /// [`restore`](Self::restore) refuses.
    ///
    /// # Errors
    /// [`is_io`](Error::is_io) if the writer fails, and [`is_encoding`](Error::is_encoding) if a key or a value cannot be written. What
    /// has been written until then is no snapshot.
    ///
    /// ```
    /// use nori_cache::Cache;
    ///
    /// let before: Cache<String, u64> = Cache::new(100);
    /// before.insert("answer".to_owned(), 42);
    /// let mut file = Vec::new();
    /// assert_eq!(before.snapshot(&mut file)?, 1);
    ///
    /// let after: Cache<String, u64> = Cache::new(100);
    /// assert_eq!(after.restore(&mut file.as_slice())?, 1);
    /// assert_eq!(after.get("answer"), Some(42));
    /// # Ok::<(), nori_cache::Error>(())
    /// ```
    pub fn snapshot(&self, to: &mut impl Write) -> Result<u64, Error> {
        let inner = &*self.inner;
        let mut blocks = Blocks::begin(to, unix_millis())?;
        for shard in 0..inner.store.shards().len() {
            let filed = inner.store.by_use(&reclaim::pin(), shard);
            let steps = filed.len() as u64;
            for (rank, seen) in (0..).zip(filed) {
                // Gone since.
                let Some(held) = inner.store.hold_again(reclaim::pin(), &seen) else {
                    continue;
                };
                if !inner.is_alive(held.word(), || held.life()) {
                    continue;
                }
                let entry = held.entry();
                // Not when it goes for want of reads: its next cache will see to that.
                let limit = held.life().limit().get().deadline();
                let Some(left) = inner.left(limit) else {
                    continue;
                };
                let age = record::age(rank, steps);
                blocks.add(|block| record::write(block, age, left, &entry.key, &entry.value))?;
            }
        }
        blocks.end()
    }
}

impl<K: DeserializeOwned + Hash + Eq, V: DeserializeOwned, S: BuildHasher> Cache<K, V, S> {
    /// Reads a snapshot and stores its entries, those last that were used last; says how many.
    ///
    /// Each lives for as long as it had left when the snapshot was taken, less the time that has passed since by the system's
    /// time of day; those whose time is over are left out. A key that the cache has by now keeps its value, as that is the newer one.
    /// What the cache has no room for is left out or evicted, first what was used longest ago.
    ///
    /// Nothing is stored before all has been read and checked. In memory there are twice as many entries as the cache holds at most.
    ///
    /// # Errors
    /// The cache is as it was if this is no snapshot, or one that has been cut short or changed
    /// ([`is_damaged`](Error::is_damaged)), if its keys or values are of other types ([`is_decoding`](Error::is_decoding)), or
    /// if the reader fails ([`is_io`](Error::is_io)). The checksums find what has been damaged, not what somebody has forged.
    ///
    /// ```
    /// use nori_cache::Cache;
    ///
    /// let cache: Cache<String, u64> = Cache::new(100);
    /// let error = cache.restore(&mut "name,value\n".as_bytes()).unwrap_err();
    /// assert!(error.is_damaged());
    /// ```
    pub fn restore(&self, from: &mut impl Read) -> Result<usize, Error> {
        self.restore_at(from, unix_millis())
    }

    /// As [`Cache::restore`], at this time of day.
    fn restore_at(&self, from: &mut impl Read, now: u64) -> Result<usize, Error> {
        let mut records = Latest::new(self.max_keys());
        let mut opened = Opened::open(from)?;
        let mut block = Vec::new();
        while opened.next(&mut block, records.seen)? {
            let mut rest = block.as_slice();
            while !rest.is_empty() {
                records.push(record::read(&mut rest)?);
            }
        }
        let passed = now.saturating_sub(opened.taken_at);
        let mut restored = 0;
        for record in records.oldest_first() {
            let ttl = match record.left {
                Ttl::Never => Ttl::Never,
                Ttl::After(left) => match left.checked_sub(Duration::from_millis(passed)) {
                    None | Some(Duration::ZERO) => continue,
                    Some(left) => Ttl::After(left),
                },
            };
            let stored = self.insert_if_absent_with_ttl(record.key, record.value, ttl);
            restored += usize::from(stored.is_ok());
        }
        Ok(restored)
    }
}

#[cfg(test)]
mod tests;

/// The time of day, in milliseconds since 1970.
fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Those of many records that were used last.
struct Latest<K, V> {
    most: usize,
    records: Vec<Record<K, V>>,
    /// How many there were in all.
    seen: u64,
}

impl<K, V> Latest<K, V> {
    fn new(most: usize) -> Self {
        Self {
            most,
            records: Vec::new(),
            seen: 0,
        }
    }

    fn push(&mut self, record: Record<K, V>) {
        self.seen += 1;
        self.records.push(record);
        if self.records.len() >= self.most.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.records.len() > self.most {
            self.records
                .select_nth_unstable_by_key(self.most, |it| it.age);
            self.records.truncate(self.most);
        }
    }

    fn oldest_first(mut self) -> Vec<Record<K, V>> {
        self.cut();
        self.records.sort_by_key(|it| Reverse(it.age));
        self.records
    }
}
