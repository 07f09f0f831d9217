//! Readers that fill the near tier while another process writes, and connections that are killed meanwhile. No clock is in it: a
//! reader that has spoken to the server since the write was acknowledged must see it. Where it is writers who tell each other, the
//! bound is in it, which runs from when the write was acknowledged.

use crate::server::{Server, shared_cluster};
use crate::{POLITE, built, caught_up, has_copy, read_after, redis, tiers};
use nori_cache::{CacheBackend, CacheBackendExt, Coherence, TieredCacheBackend, Ttl};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::sleep;

const RACES: u32 = 2_000;
const KILLS: u32 = 150;
/// Beside each write.
const READERS: usize = 4;
/// Of what is read where writers tell each other.
pub(crate) const BOUND: Duration = Duration::from_secs(2);

/// Another process, which tells of what it writes where nobody else does.
pub(crate) fn writer(url: &str, coherence: Coherence, prefix: &str) -> Arc<dyn CacheBackend> {
    let redis = redis(url).prefix(prefix);
    match coherence {
        Coherence::Backplane => built(tiers(url).redis(redis).coherence(coherence)),
        _ => Arc::new(redis.build().unwrap()),
    }
}

pub(crate) fn reader(url: &str, coherence: Coherence, prefix: &str) -> Arc<TieredCacheBackend> {
    let tiers = tiers(url).redis(redis(url).prefix(prefix));
    built(match coherence {
        Coherence::Backplane => tiers.coherence(coherence).max_staleness(BOUND),
        _ => tiers.coherence(coherence),
    })
}

/// One key, one write, and readers who come before, beside and after it. True if the value that is read once the tiers have caught up
/// is the old one.
async fn is_stale(
    near: &Arc<TieredCacheBackend>,
    far: &Arc<dyn CacheBackend>,
    coherence: Coherence,
    key: &str,
) -> bool {
    far.set(key, 1, Ttl::Never).await.unwrap();
    let before = Instant::now();
    read_after(near, coherence, key, (Some(1), before), BOUND).await;
    let start = Arc::new(Barrier::new(READERS + 1));
    let mut tasks = JoinSet::new();
    for nth in 0..READERS {
        let (near, start, key) = (Arc::clone(near), Arc::clone(&start), key.to_owned());
        tasks.spawn(async move {
            start.wait().await;
            for _ in 0..nth {
                tokio::task::yield_now().await;
            }
            for _ in 0..3 {
                let value = near.get::<u32>(&key).await.unwrap();
                assert!(matches!(value, Some(1 | 2)));
            }
        });
    }
    let writer = {
        let (far, start, key) = (Arc::clone(far), Arc::clone(&start), key.to_owned());
        async move {
            start.wait().await;
            far.set(&key, 2, Ttl::Never).await.unwrap();
        }
    };
    writer.await;
    let written = (Some(2), Instant::now());
    // At once, beside readers who are under way, and when they are done.
    let beside = read_after(near, coherence, key, written, BOUND).await;
    tasks.join_all().await;
    let after = read_after(near, coherence, key, written, BOUND).await;
    (beside, after) != (Some(2), Some(2))
}

async fn races(url: String, coherence: Coherence, prefix: &str) {
    let near = reader(&url, coherence, prefix);
    let far = writer(&url, coherence, prefix);
    let mut stale = 0;
    for race in 0..RACES {
        // Keys that were never read, and such that are near.
        let key = format!("k{}", race % (RACES / 2));
        stale += u32::from(is_stale(&near, &far, coherence, &key).await);
    }
    if coherence == Coherence::Backplane {
        // What was read above may have been asked of the server. What is near now stays.
        sleep(BOUND).await;
        for nth in 0..RACES / 2 {
            let value = near.get::<u32>(&format!("k{nth}")).await.unwrap();
            stale += u32::from(value != Some(2));
        }
    }
    println!(
        "{coherence:?}: {stale} stale of {RACES}, {:?}",
        near.tier_stats()
    );
    assert_eq!(stale, 0);
    assert!(near.tier_stats().near_hits > 0 && near.tier_stats().refused > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_beside_fills() {
    let server = Server::start();
    races(server.url(), Coherence::Tracking, "t:").await;
    races(server.url(), Coherence::Broadcast, "b:").await;
    races(server.url(), Coherence::Backplane, "p:").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writes_beside_fills_on_a_cluster() {
    races(shared_cluster().url(), Coherence::Tracking, "raced:").await;
    races(shared_cluster().url(), Coherence::Backplane, "planed:").await;
}

/// The connections by which a server tells of writes, as it numbers them.
pub(crate) fn tracked_connections(server: &Server) -> Vec<String> {
    let field = |line: &str, name: &str| {
        let mut fields = line.split(' ');
        let field = fields.find_map(|field| field.strip_prefix(name).map(str::to_owned));
        field.unwrap_or_default()
    };
    let clients = server.ask(&["CLIENT", "LIST"]);
    let lines = clients.lines();
    let tracked = lines.filter(|line| field(line, "flags=").contains(['t', 'B']));
    tracked.map(|line| field(line, "id=")).collect()
}

/// Kills the connections by which the server, or others, tell of writes. How many there were.
fn kill_told(server: &Server, coherence: Coherence, round: u32) -> usize {
    let killed = |answer: String| answer.parse::<usize>().unwrap();
    match coherence {
        // Those that carry the calls, too, now and then.
        Coherence::Backplane if round.is_multiple_of(5) => {
            killed(server.ask(&["CLIENT", "KILL", "TYPE", "normal"]))
        }
        Coherence::Backplane => killed(server.ask(&["CLIENT", "KILL", "TYPE", "pubsub"])),
        _ => {
            let connections = tracked_connections(server);
            let kill = |id: &String| server.ask(&["CLIENT", "KILL", "ID", id]) == "1";
            connections.iter().filter(|id| kill(id)).count()
        }
    }
}

/// Writes until it is acknowledged.
async fn written(far: &dyn CacheBackend, key: &str, value: u32) -> (Option<u32>, Instant) {
    while let Err(error) = far.set(key, value, Ttl::Never).await {
        assert!(error.is_connection(), "{error}");
        sleep(POLITE).await;
    }
    (Some(value), Instant::now())
}

/// The connection that tells of writes is killed, again and again, beside writes, with readers all the time.
async fn kills(coherence: Coherence) {
    const KEYS: u32 = 8;
    let server = Arc::new(Server::start());
    let near = reader(&server.url(), coherence, "cache:");
    let far = writer(&server.url(), coherence, "cache:");
    let key = |nth: u32| format!("k{nth}");
    for nth in 0..KEYS {
        far.set(&key(nth), 0, Ttl::Never).await.unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for reader in 0..READERS as u32 {
        let (near, stop) = (Arc::clone(&near), Arc::clone(&stop));
        readers.spawn(async move {
            let mut nth = reader;
            while !stop.load(Ordering::Relaxed) {
                nth = (nth + 1) % KEYS;
                match near.get::<u32>(&format!("k{nth}")).await {
                    Ok(value) => assert!(value.is_some()),
                    Err(error) => assert!(error.is_connection(), "{error}"),
                }
                if nth == 0 {
                    sleep(POLITE).await;
                }
            }
        });
    }
    let mut killed = 0;
    for round in 1..=KILLS {
        for nth in 0..KEYS {
            caught_up(&near, &key(nth)).await;
        }
        has_copy_in_the_end(&near, &key(round % KEYS)).await;
        let killing = {
            let server = Arc::clone(&server);
            tokio::task::spawn_blocking(move || kill_told(&server, coherence, round))
        };
        // Before, beside and behind the kill.
        let mut last = Vec::new();
        for nth in 0..KEYS {
            last.push(written(&*far, &key(nth), round).await);
        }
        killed += killing.await.unwrap();
        let behind = round % KEYS;
        last[behind as usize] = written(&*far, &key(behind), round + 1_000).await;
        for nth in 0..KEYS {
            let last = last[nth as usize];
            let value = read_after(&near, coherence, &key(nth), last, BOUND).await;
            assert_eq!(value, last.0, "stale after {killed} kills");
        }
    }
    stop.store(true, Ordering::Relaxed);
    readers.join_all().await;
    println!("{coherence:?}: {killed} killed, {:?}", near.tier_stats());
    assert!(killed >= KILLS as usize, "{killed}");
    assert!(near.tier_stats().near_hits > 0 && near.tier_stats().refused > 0);
}

/// As [`has_copy`], where the connection may have been killed just now.
async fn has_copy_in_the_end(near: &TieredCacheBackend, key: &str) {
    caught_up(near, key).await;
    has_copy(near, key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_connections_beside_writes() {
    kills(Coherence::Tracking).await;
    kills(Coherence::Broadcast).await;
    kills(Coherence::Backplane).await;
}

/// Two processes of two tiers that both write and read one key: what one has written both read, once they have caught up.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_that_write_by_turns() {
    let server = Server::start();
    let both = [(); 2].map(|()| built(tiers(server.url())));
    for round in 0..1_000_u32 {
        let [writer, reader] = [round % 2, 1 - round % 2].map(|nth| &both[nth as usize]);
        writer
            .set("k", round, Duration::from_secs(60))
            .await
            .unwrap();
        assert_eq!(writer.get::<u32>("k").await.unwrap(), Some(round));
        caught_up(reader, "k").await;
        assert_eq!(reader.get::<u32>("k").await.unwrap(), Some(round));
    }
    let sum = |of: fn(&TieredCacheBackend) -> u64| both.iter().map(|it| of(it)).sum::<u64>();
    assert!(sum(|it| it.tier_stats().refused) > 0);
    both[0].verify().await.unwrap();
}
