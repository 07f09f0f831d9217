//! What is a hit in memory, and what takes a copy out of use.

use crate::scripted::{Reply, Scripted};
use crate::server::Server;
use crate::{MINUTE, TOLD, TRACKED, built, caught_up, has_copy, other, redis, tiers};
use nori_cache::{CacheBackend, CacheBackendExt, Codec, Coherence, Ttl, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_hit_asks_nobody() {
    for coherence in TRACKED {
        let server = Server::start();
        let near = built(tiers(server.url()).coherence(coherence));
        near.set("k", vec![1, 2], Ttl::Never).await.unwrap();
        has_copy(&near, "k").await;
        let before = near.tier_stats();
        for _ in 0..100 {
            assert_eq!(near.get::<Vec<u8>>("k").await.unwrap(), Some(vec![1, 2]));
            let shared = near.get_shared::<Vec<u8>>("k").await.unwrap();
            assert_eq!(*shared.unwrap(), [1, 2]);
            let mut shown = 0;
            assert!(near.read_now("k", &mut |_: &Value| shown += 1));
            assert_eq!(shown, 1);
        }
        let many = near.get_many::<Vec<u8>>(&["k", "k"]).await.unwrap();
        assert_eq!(many, [Some(vec![1, 2]), Some(vec![1, 2])]);
        let after = near.tier_stats();
        assert_eq!(after.far_reads, before.far_reads);
        assert_eq!(after.near_hits, before.near_hits + 302);
        assert_eq!((after.refused, after.near_keys), (before.refused, 1));
        let latest = near.latest_value("k").await.unwrap().unwrap();
        assert_eq!(latest.to::<Vec<u8>>().unwrap(), [1, 2]);
        assert_eq!(near.tier_stats().far_reads, after.far_reads + 1);
        let after = near.tier_stats();
        // What is near and what is not, in one call.
        near.set("l", vec![3], Ttl::Never).await.unwrap();
        let many = near.get_many::<Vec<u8>>(&["none", "k", "l"]).await.unwrap();
        assert_eq!(many, [None, Some(vec![1, 2]), Some(vec![3])]);
        assert_eq!(near.tier_stats().far_reads, after.far_reads + 2);
        // Of a few copies are kept, of many not.
        has_copy(&near, "l").await;
        let many: Vec<String> = (0..17).map(|nth| format!("m{nth}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for _ in 0..2 {
            let before = near.tier_stats().far_reads;
            near.get_many::<u8>(&many).await.unwrap();
            assert_eq!(near.tier_stats().far_reads, before + 17);
        }
    }
}

/// That there is nothing under a key is known, too, until there is something.
#[tokio::test]
async fn a_key_that_is_missing() {
    for coherence in TRACKED {
        let server = Server::start();
        let near = built(tiers(server.url()).coherence(coherence));
        let far = other(server.url());
        for nth in 0..20 {
            let key = format!("k{nth}");
            assert_eq!(near.get::<u8>(&key).await.unwrap(), None);
            let before = near.tier_stats().far_reads;
            assert_eq!(near.get::<u8>(&key).await.unwrap(), None);
            assert_eq!(near.get_many::<u8>(&[&key]).await.unwrap(), [None]);
            assert_eq!(near.tier_stats().far_reads, before);
            far.set(&key, nth, MINUTE).await.unwrap();
            caught_up(&near, &key).await;
            assert_eq!(near.get::<u8>(&key).await.unwrap(), Some(nth));
        }
        let load = async || Ok::<_, nori_cache::Error>(7);
        let loaded = near.get_or_load("l", MINUTE, load).await.unwrap();
        assert_eq!((loaded, near.get::<u8>("l").await.unwrap()), (7, Some(7)));
    }
}

/// A value counts how often it is decoded.
#[derive(Clone, serde::Serialize, Debug, PartialEq)]
struct Counted(u32);

static DECODED: AtomicU32 = AtomicU32::new(0);

impl<'de> serde::Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        DECODED.fetch_add(1, Ordering::Relaxed);
        u32::deserialize(from).map(Self)
    }
}

#[tokio::test]
async fn a_copy_is_decoded_once() {
    let server = Server::start();
    for codec in [Codec::json(), Codec::json().version(3)] {
        let redis = redis(server.url()).codec(codec);
        let near = built(tiers(server.url()).redis(redis));
        near.set("k", Counted(5), MINUTE).await.unwrap();
        has_copy(&near, "k").await;
        DECODED.store(0, Ordering::Relaxed);
        let load = async || Err::<Counted, _>("it is there");
        let first = near.get_shared::<Counted>("k").await.unwrap().unwrap();
        for _ in 0..10 {
            let loaded = near.get_or_load("k", MINUTE, load).await.unwrap();
            assert_eq!(loaded, Counted(5));
            assert_eq!(near.get::<Counted>("k").await.unwrap(), Some(Counted(5)));
            let again = near.get_shared::<Counted>("k").await.unwrap().unwrap();
            assert!(Arc::ptr_eq(&first, &again));
        }
        assert_eq!(DECODED.load(Ordering::Relaxed), 1);
        // As another type it reads as ever.
        assert_eq!(near.get::<u8>("k").await.unwrap(), Some(5));
        assert_eq!(*near.get_shared::<u64>("k").await.unwrap().unwrap(), 5);
        assert_eq!(near.get::<Counted>("k").await.unwrap(), Some(Counted(5)));
        near.set("k", Counted(6), MINUTE).await.unwrap();
        assert_eq!(near.get::<Counted>("k").await.unwrap(), Some(Counted(6)));
    }
}

/// Each kind of write, by this process: seen at once. By another: seen once the message is here.
#[tokio::test]
async fn every_write_takes_the_copy_out_of_use() {
    for coherence in TRACKED {
        let server = Server::start();
        let near = built(tiers(server.url()).coherence(coherence));
        let far = other(server.url());
        let writers: [&dyn CacheBackend; 2] = [&*near, &*far];
        for writer in writers {
            let renew = async |value: i64| {
                near.set("k", value, MINUTE).await.unwrap();
                has_copy(&near, "k").await;
            };
            let read = async || {
                caught_up(&near, "k").await;
                near.get::<i64>("k").await.unwrap()
            };
            renew(1).await;
            writer.set("k", 2, MINUTE).await.unwrap();
            assert_eq!(read().await, Some(2));
            renew(1).await;
            writer.set_many([("j", 3), ("k", 3)], MINUTE).await.unwrap();
            assert_eq!(read().await, Some(3));
            renew(1).await;
            assert_eq!(writer.incr("k", MINUTE).await.unwrap(), 2);
            assert_eq!(read().await, Some(2));
            renew(1).await;
            let update = async |n: Option<i64>| n.unwrap_or(0) + 6;
            writer.atomic_update("k", None, update).await.unwrap();
            assert_eq!(read().await, Some(7));
            renew(1).await;
            assert!(writer.delete("k").await.unwrap());
            assert_eq!(read().await, None);
            renew(1).await;
            assert_eq!(writer.delete_many(&["k", "l"]).await.unwrap(), 1);
            assert_eq!(read().await, None);
            renew(1).await;
            writer.flush().await.unwrap();
            assert_eq!(read().await, None);
            renew(1).await;
            writer.set("k", 1, Duration::ZERO).await.unwrap();
            assert_eq!(read().await, None);
        }
    }
}

/// An own write is seen by the next read, with no question to the server in between, however many others read at the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_writes_are_seen_at_once_beside_readers() {
    for coherence in TOLD {
        let server = Server::start();
        let near = built(tiers(server.url()).coherence(coherence));
        near.set("k", 0, MINUTE).await.unwrap();
        let written = Arc::new(AtomicU32::new(0));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (near, written) = (near.clone(), Arc::clone(&written));
                tokio::spawn(async move {
                    let mut last = 0;
                    while last < 1_000 {
                        let least = match coherence {
                            // Of a write under way who writes tells by another connection than answers come by.
                            Coherence::Backplane => written.load(Ordering::SeqCst),
                            _ => last.max(written.load(Ordering::SeqCst)),
                        };
                        let value = near.get::<u32>("k").await.unwrap().unwrap();
                        assert!(value >= least, "{value} after {least}, {coherence:?}");
                        last = value;
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for value in 1..=1_000_u32 {
            near.set("k", value, MINUTE).await.unwrap();
            written.store(value, Ordering::SeqCst);
            assert_eq!(near.get::<u32>("k").await.unwrap(), Some(value));
        }
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_copy_does_not_outlive_its_original() {
    let server = Server::start();
    let (near, far) = (built(tiers(server.url())), other(server.url()));
    let mut times = (1..).map(|power| Duration::from_millis(50 << power));
    // On a busy machine one that is short is over before there is a copy.
    while near.tier_stats().near_hits == 0 {
        let key = format!("k{}", near.tier_stats().far_reads);
        far.set(&key, 1, times.next().unwrap()).await.unwrap();
        while far.get::<u8>(&key).await.unwrap().is_some() {
            near.get::<u8>(&key).await.unwrap();
        }
        near.read_now(&key, &mut |_| panic!("the copy is still used"));
    }
}

#[tokio::test]
async fn the_near_tier_is_bounded() {
    let server = Server::start();
    let near = built(tiers(server.url()).near_max_keys(10));
    for nth in 0..100 {
        let key = format!("k{nth}");
        near.set(&key, nth, MINUTE).await.unwrap();
        assert_eq!(near.get::<u32>(&key).await.unwrap(), Some(nth));
        assert!(near.tier_stats().near_keys <= 10);
    }
    near.flush().await.unwrap();
    assert_eq!(near.tier_stats().near_keys, 0);
}

/// However large values are.
#[tokio::test]
async fn the_near_tier_is_bounded_in_bytes() {
    const BYTES: u64 = 10_000;
    let server = Server::start();
    let near = built(tiers(server.url()).near_max_bytes(BYTES));
    let text = |nth: usize| "x".repeat(nth * 37 % 1_000);
    for nth in 0..200 {
        let key = format!("k{nth}");
        near.set(&key, text(nth), MINUTE).await.unwrap();
        let value = near.get::<String>(&key).await.unwrap();
        assert_eq!(value, Some(text(nth)));
        let bytes = near.tier_stats().near_bytes;
        assert!(bytes <= BYTES, "{bytes}");
    }
    let stats = near.tier_stats();
    assert!(stats.near_bytes > BYTES / 2, "{stats:?}");
    // Of what takes more there is no copy, and none of what was there before.
    near.set("k199", "small", MINUTE).await.unwrap();
    has_copy(&near, "k199").await;
    let large = "y".repeat(BYTES as usize);
    near.set("k199", large.clone(), MINUTE).await.unwrap();
    for _ in 0..3 {
        let value = near.get::<String>("k199").await.unwrap();
        assert_eq!(value.as_ref(), Some(&large));
        assert!(!near.read_now("k199", &mut |_| ()));
    }
    near.flush().await.unwrap();
    let stats = near.tier_stats();
    assert_eq!((stats.near_keys, stats.near_bytes), (0, 0));
}

/// Nor of one that is full of bytes.
#[tokio::test]
async fn a_scan_leaves_large_copies_where_they_are() {
    const KEPT: usize = 100;
    let server = Server::start();
    let near = built(tiers(server.url()).near_max_bytes(KEPT as u64 * 1_010));
    let keys: Vec<String> = (0..11 * KEPT).map(|nth| format!("k{nth:04}")).collect();
    let far = other(server.url());
    let entries = keys.iter().map(|key| (key.as_str(), "x".repeat(1_000)));
    far.set_many(entries, Ttl::Never).await.unwrap();
    let (kept, scanned) = keys.split_at(KEPT);
    for key in kept {
        near.get::<String>(key).await.unwrap();
    }
    let full = near.tier_stats();
    assert!(full.near_keys > KEPT / 2, "{full:?}");
    for key in scanned {
        assert!(near.get::<String>(key).await.unwrap().is_some());
    }
    let stays = |key: &&String| near.read_now(key, &mut |_| ());
    let stayed = kept.iter().filter(stays).count();
    assert!(stayed > full.near_keys / 2, "{stayed} of {full:?}");
}

/// What is read once drives nothing out of a near tier that is full.
#[tokio::test]
async fn a_scan_leaves_the_copies_where_they_are() {
    const KEPT: usize = 100;
    let server = Server::start();
    let near = built(tiers(server.url()).near_max_keys(KEPT));
    let keys: Vec<String> = (0..11 * KEPT).map(|nth| format!("k{nth}")).collect();
    let far = other(server.url());
    let entries = keys.iter().map(|key| (key.as_str(), 1));
    far.set_many(entries, Ttl::Never).await.unwrap();
    let (kept, scanned) = keys.split_at(KEPT);
    for key in kept {
        has_copy(&near, key).await;
    }
    for key in scanned {
        assert_eq!(near.get::<u8>(key).await.unwrap(), Some(1));
        assert!(near.latest_value(key).await.unwrap().is_some());
    }
    let before = near.tier_stats();
    assert_eq!(before.near_keys, KEPT);
    for key in kept {
        assert_eq!(near.get::<u8>(key).await.unwrap(), Some(1));
    }
    // The doorkeeper takes one in fifty for one that it knows.
    let gone = near.tier_stats().far_reads - before.far_reads;
    assert!(gone < 60, "{gone} of {KEPT} were driven out");
    // Who comes twice gets a place.
    has_copy(&near, &scanned[0]).await;
}

/// Only of what is to be kept is asked how long it lives.
#[tokio::test]
async fn a_first_miss_asks_a_full_tier_for_no_copy() {
    let asked = Arc::new(AtomicU32::new(0));
    let server = {
        let asked = Arc::clone(&asked);
        Scripted::start(move |command| {
            asked.fetch_add(u32::from(command.name() == "PTTL"), Ordering::SeqCst);
            Reply::well(command)
        })
    };
    // So many that the doorkeeper takes nobody for another.
    const PLACES: u32 = 1_000;
    let near = built(tiers(server.url()).near_max_keys(PLACES as usize));
    for nth in 2..PLACES {
        near.get::<u8>(&format!("k{nth}")).await.unwrap();
    }
    assert_eq!(asked.swap(0, Ordering::SeqCst), PLACES - 2);
    for (key, expected) in [("a", 1), ("b", 2), ("c", 2), ("c", 3), ("c", 3), ("d", 3)] {
        assert_eq!(near.get::<u8>(key).await.unwrap(), Some(1));
        assert_eq!(asked.load(Ordering::SeqCst), expected, "{key}");
    }
    // And of a few at once.
    for expected in [3, 4] {
        assert_eq!(near.get_many::<u8>(&["e"]).await.unwrap(), [Some(1)]);
        assert_eq!(asked.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn nothing_is_shown_after_closing() {
    let server = Server::start();
    let near = built(tiers(server.url()));
    near.set("k", 1, MINUTE).await.unwrap();
    has_copy(&near, "k").await;
    near.close().await.unwrap();
    assert!(!near.read_now("k", &mut |_| ()));
    assert!(near.get::<u8>("k").await.unwrap_err().is_closed());
    assert_eq!(near.tier_stats().near_keys, 0);
}
