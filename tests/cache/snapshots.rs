//! Snapshots: what comes back of them, and what is refused.

use nori_cache::{Cache, ManualClock, Ttl};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const MILLI: Duration = Duration::from_millis(1);

fn snapshot<K: Serialize, V: Serialize>(cache: &Cache<K, V>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = cache.snapshot(&mut bytes).unwrap();
    assert_eq!(written, cache.iter_len());
    bytes
}

trait IterLen {
    fn iter_len(&self) -> u64;
}

impl<K, V> IterLen for Cache<K, V> {
    fn iter_len(&self) -> u64 {
        let mut len = 0;
        self.for_each(|_, _| len += 1);
        len
    }
}

fn entries(cache: &Cache<u64, String>) -> BTreeMap<u64, String> {
    cache.iter().collect()
}

fn cache_of(keys: impl IntoIterator<Item = u64>) -> Cache<u64, String> {
    let cache = Cache::new(1_000);
    for key in keys {
        cache.insert(key, format!("the value of {key}"));
    }
    cache
}

#[test]
fn all_comes_back() {
    // Several blocks.
    let before = Cache::new(10_000);
    for key in 0..5_000_u64 {
        before.insert(key, "x".repeat(key as usize % 100));
    }
    let bytes = snapshot(&before);
    assert!(bytes.len() > 3 << 16);
    let after = Cache::new(10_000);
    assert_eq!(after.restore(&mut bytes.as_slice()).unwrap(), 5_000);
    assert_eq!(entries(&after), entries(&before));
    assert_eq!(after.len(), 5_000);
    // Nothing beyond the end is read.
    let mut two = bytes.clone();
    two.extend(b"what follows");
    let mut rest = two.as_slice();
    Cache::<u64, String>::new(10).restore(&mut rest).unwrap();
    assert_eq!(rest, b"what follows");
    // An empty one is one, too.
    let empty = snapshot(&cache_of([]));
    assert_eq!(after.restore(&mut empty.as_slice()).unwrap(), 0);
}

#[test]
fn what_is_left_to_live_goes_on() {
    let clock = ManualClock::new();
    let before = Cache::builder().clock(clock.clone()).build().unwrap();
    before.insert("never", 1);
    before.insert_with_ttl("hour", 2, Duration::from_secs(3_600));
    before.insert_with_ttl("gone", 3, MILLI);
    clock.advance(MILLI);
    let mut bytes = Vec::new();
    assert_eq!(before.snapshot(&mut bytes).unwrap(), 2);
    let clock = ManualClock::new();
    let after: Cache<String, i32> = Cache::builder().clock(clock.clone()).build().unwrap();
    assert_eq!(after.restore(&mut bytes.as_slice()).unwrap(), 2);
    assert_eq!(after.ttl("never"), Some(Ttl::Never));
    // Whatever time of day it is: not more than was left.
    let Some(Ttl::After(left)) = after.ttl("hour") else {
        panic!("it has an end");
    };
    assert!(left <= Duration::from_millis(3_600_000 - 1), "{left:?}");
    clock.advance(left);
    assert_eq!(after.get("hour"), None);
    assert_eq!(after.get("never"), Some(1));
}

/// In one shard that keeps the order of all uses.
#[test]
fn what_was_used_last_is_what_stays() {
    let before: Cache<u64, u64> = Cache::builder().max_keys(100).shards(1).build().unwrap();
    for key in 0..100 {
        before.insert(key, key);
    }
    let used = [7, 42, 3, 99, 12];
    for key in used {
        before.get(&key);
    }
    let bytes = snapshot(&before);
    for room in [1, 3, 5] {
        let after: Cache<u64, u64> = Cache::builder().max_keys(room).shards(1).build().unwrap();
        assert_eq!(after.restore(&mut bytes.as_slice()).unwrap(), room);
        let mut keys = after.keys();
        keys.sort_unstable();
        let mut last = used[used.len() - room..].to_vec();
        last.sort_unstable();
        assert_eq!(keys, last);
    }
    // And their order among each other.
    let after: Cache<u64, u64> = Cache::builder().max_keys(5).shards(1).build().unwrap();
    after.restore(&mut bytes.as_slice()).unwrap();
    after.insert(1_000, 0);
    assert!(!after.contains_key(&7) && after.contains_key(&42));
}

#[test]
fn a_newer_value_stays() {
    let bytes = snapshot(&cache_of(0..3));
    let after: Cache<u64, String> = Cache::new(10);
    after.insert(1, "newer".to_owned());
    assert_eq!(after.restore(&mut bytes.as_slice()).unwrap(), 2);
    assert_eq!(after.get(&1).unwrap(), "newer");
    assert_eq!(after.len(), 3);
}

/// Restores into a cache that has something, which must stay as it is.
fn refused(bytes: &[u8]) -> nori_cache::Error {
    let cache = cache_of([1_000_000]);
    let before = entries(&cache);
    let error = cache.restore(&mut &*bytes).unwrap_err();
    assert_eq!(entries(&cache), before);
    error
}

#[test]
fn a_snapshot_cut_short_anywhere_is_refused() {
    let bytes = snapshot(&cache_of(0..20));
    for length in 0..bytes.len() {
        let error = refused(&bytes[..length]);
        assert!(error.is_damaged(), "{length}: {error}");
        assert!(error.to_string().contains("it ends too early"), "{error}");
    }
}

#[test]
fn a_snapshot_with_any_bit_changed_is_refused() {
    let bytes = snapshot(&cache_of(0..20));
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let error = refused(&changed);
        assert!(error.is_damaged(), "{bit}: {error}");
    }
}

#[test]
fn a_snapshot_with_blocks_missing_or_exchanged_is_refused() {
    let cache = Cache::new(1_000);
    for key in 0..40_u64 {
        cache.insert(key, "x".repeat(10_000));
    }
    let bytes = snapshot(&cache);
    // Where the blocks are.
    let mut blocks = Vec::new();
    let mut at = 18;
    loop {
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if length == 0 {
            break;
        }
        blocks.push(at..at + 8 + length);
        at += 8 + length;
    }
    assert!(blocks.len() > 3);
    for block in &blocks {
        let without = [&bytes[..block.start], &bytes[block.end..]].concat();
        assert!(refused(&without).is_damaged());
    }
    let (first, second) = (&bytes[blocks[0].clone()], &bytes[blocks[1].clone()]);
    let exchanged = [&bytes[..18], second, first, &bytes[blocks[1].end..]].concat();
    assert!(refused(&exchanged).is_damaged());
}

#[test]
fn what_is_no_snapshot_is_refused() {
    assert!(refused(b"").is_damaged());
    assert!(refused(b"{\"a\": 1}").is_damaged());
    let error = refused(&[0; 100]);
    assert_eq!(
        error.to_string(),
        "no whole snapshot: it does not begin as a snapshot does"
    );
    let mut later = snapshot(&cache_of(0..2));
    later[8] = 2;
    assert_eq!(
        refused(&later).to_string(),
        "no whole snapshot: it is of version 2, and only 1 can be read"
    );
    // A length that is not true.
    let mut long = snapshot(&cache_of(0..2));
    long[18..22].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(refused(&long).is_damaged());
}

#[test]
fn other_types_are_refused() {
    let numbers: Cache<u64, u64> = Cache::new(10);
    numbers.insert(1, 1);
    let error = refused(&snapshot(&numbers));
    assert!(error.is_decoding(), "{error}");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Old {
    name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct New {
    name: String,
    #[serde(default)]
    age: Option<u32>,
}

#[test]
fn a_field_may_be_added() {
    let before = Cache::new(10);
    before.insert(
        1,
        Old {
            name: "Ana".to_owned(),
        },
    );
    let bytes = snapshot(&before);
    let after: Cache<i32, New> = Cache::new(10);
    after.restore(&mut bytes.as_slice()).unwrap();
    let expected = New {
        name: "Ana".to_owned(),
        age: None,
    };
    assert_eq!(after.get(&1), Some(expected));
}

/// Fails after so many bytes.
struct Faulty(usize);

impl Write for Faulty {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0 == 0 {
            return Err(io::Error::other("no space left"));
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Faulty {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("unplugged"))
    }
}

#[test]
fn what_the_writer_and_the_reader_fail_with_is_told() {
    let cache = cache_of(0..5);
    let whole = snapshot(&cache).len();
    for room in 0..whole {
        let error = cache.snapshot(&mut Faulty(room)).unwrap_err();
        assert!(error.is_io());
        assert_eq!(
            error.cause::<io::Error>().unwrap().to_string(),
            "no space left"
        );
    }
    let error = cache.restore(&mut Faulty(0)).unwrap_err();
    assert!(error.is_io());
    assert_eq!(cache.len(), 5);
}

#[test]
fn what_cannot_be_written_is_told() {
    let cache: Cache<u64, std::path::PathBuf> = Cache::new(10);
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStringExt;
        let name = std::ffi::OsString::from_vec(vec![0xff]);
        cache.insert(1, name.into());
        let error = cache.snapshot(&mut Vec::new()).unwrap_err();
        assert!(error.is_encoding(), "{error}");
    }
}

/// Each entry is whole, and no key is there twice.
#[test]
fn a_snapshot_beside_writers_has_whole_entries() {
    let cache: Cache<u64, [u64; 4]> = Cache::new(500);
    for key in 0..500 {
        cache.insert(key, [0; 4]);
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 1.. {
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                    for key in 0..500 {
                        cache.insert(key, [round; 4]);
                    }
                }
            });
        }
        for _ in 0..20 {
            let mut bytes = Vec::new();
            cache.snapshot(&mut bytes).unwrap();
            let after: Cache<u64, [u64; 4]> = Cache::new(1_000);
            let restored = after.restore(&mut bytes.as_slice()).unwrap();
            assert_eq!(restored, after.len());
            after.for_each(|_, value| assert_eq!(*value, [value[0]; 4]));
        }
        done.store(true, Ordering::Relaxed);
    });
}
