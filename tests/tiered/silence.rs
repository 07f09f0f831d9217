//! Connections that are dead without anybody having been told, and servers that stand still: how long copies are used then.
//!
//! What is asserted here holds at any speed: a read that began later than the bound after the last moment at which the connection
//! can have been alive is not answered with what is old. How much earlier copies go out of use is not.

use crate::server::Server;
use crate::{MINUTE, POLITE, TOLD, built, caught_up, has_copy, other, redis, tiers};
use nori_cache::{CacheBackend, CacheBackendExt, Coherence, TieredCacheBackend, Ttl};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const BOUND: Duration = Duration::from_millis(400);
/// Times are whole milliseconds.
const ROUNDED: Duration = Duration::from_millis(1);

/// A way to a server that can lose what the server says, without an end to be seen.
pub(crate) struct Wire {
    port: u16,
    deaf: Arc<AtomicBool>,
    /// Of every second connection: by which writers tell, where they do.
    half_deaf: Arc<AtomicBool>,
}

impl Wire {
    fn to(port: u16) -> Self {
        Self::by_turns(vec![port], Duration::ZERO)
    }

    /// What the server says is this long under way, at least.
    fn slow(port: u16, delay: Duration) -> Self {
        Self::by_turns(vec![port], delay)
    }

    /// Each connection leads to the next of these servers.
    pub(crate) fn by_turns(ports: Vec<u16>, delay: Duration) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let own = listener.local_addr().unwrap().port();
        let deaf = Arc::new(AtomicBool::new(false));
        let half_deaf = Arc::new(AtomicBool::new(false));
        let is_deaf = [Arc::clone(&deaf), Arc::clone(&half_deaf)];
        thread::spawn(move || {
            for (nth, client) in listener.incoming().enumerate() {
                let port = ports[nth % ports.len()];
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", port)))
                else {
                    return;
                };
                let [all, half] = is_deaf.clone();
                carry(&client, &server, || false, Duration::ZERO);
                let is_lost = move || {
                    let half = nth % 2 == 1 && half.load(Ordering::SeqCst);
                    half || all.load(Ordering::SeqCst)
                };
                carry(&server, &client, is_lost, delay);
            }
        });
        Self {
            port: own,
            deaf,
            half_deaf,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

fn carry(
    from: &TcpStream,
    to: &TcpStream,
    is_lost: impl Fn() -> bool + Send + 'static,
    delay: Duration,
) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            thread::sleep(delay);
            if !is_lost() && to.write_all(&buffer[..len]).is_err() {
                break;
            }
        }
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Reads until no copy is used any more. None may be in a read that began later than the bound after the silence did.
async fn copies_end(near: &TieredCacheBackend, silent_since: Instant, bound: Duration) {
    loop {
        let began = Instant::now();
        let shown = near.read_now("k", &mut |_| ());
        if !shown {
            return;
        }
        let late = began.saturating_duration_since(silent_since);
        assert!(late <= bound + ROUNDED, "a copy is used {late:?} later");
        sleep(POLITE).await;
    }
}

#[tokio::test]
async fn a_connection_that_falls_silent() {
    for coherence in TOLD {
        let server = Server::start();
        let wire = Wire::to(server.port);
        let near = built(tiers(wire.url()).max_staleness(BOUND).coherence(coherence));
        near.set("k", 1, Ttl::Never).await.unwrap();
        has_copy(&near, "k").await;
        wire.deaf.store(true, Ordering::SeqCst);
        let silent_since = Instant::now();
        other(server.url()).set("k", 2, Ttl::Never).await.unwrap();
        copies_end(&near, silent_since, BOUND).await;
    }
}

/// Only that by which writers tell. The other one carries calls as ever, and both are left in the end.
#[tokio::test]
async fn a_subscription_that_falls_silent() {
    let server = Server::start();
    let wire = Wire::to(server.port);
    let redis = redis(wire.url()).timeout(BOUND);
    let near = tiers("").redis(redis).coherence(Coherence::Backplane);
    let near = built(near.max_staleness(BOUND));
    let there = built(tiers(server.url()).coherence(Coherence::Backplane));
    there.set("k", 1, Ttl::Never).await.unwrap();
    let is_near = || near.read_now("k", &mut |_| ());
    // On a busy machine there may be no answer in time.
    let get = async || match near.get::<u8>("k").await {
        Ok(value) => value,
        Err(error) => {
            assert!(error.is_timeout() || error.is_connection(), "{error}");
            None
        }
    };
    while !is_near() {
        get().await;
    }
    wire.half_deaf.store(true, Ordering::SeqCst);
    let silent_since = Instant::now();
    there.set("k", 2, Ttl::Never).await.unwrap();
    copies_end(&near, silent_since, BOUND).await;
    // Both connections are left.
    let link = || near.stats().links[0].clone();
    while link().is_connected && link().reconnects == 0 {
        sleep(POLITE).await;
    }
    wire.half_deaf.store(false, Ordering::SeqCst);
    while get().await != Some(2) {}
    while !is_near() {
        get().await;
        sleep(POLITE).await;
    }
    there.set("k", 3, Ttl::Never).await.unwrap();
    while get().await != Some(3) {
        sleep(POLITE).await;
    }
    assert!(near.stats().links[0].reconnects > 0);
}

/// What came last had been under way for a while, and shows no more than that the server was there before it set out.
#[tokio::test]
async fn a_slow_connection_that_falls_silent() {
    const DELAY: Duration = Duration::from_millis(100);
    let server = Server::start();
    let wire = Wire::slow(server.port, DELAY);
    let near = built(tiers(wire.url()).max_staleness(BOUND));
    near.set("k", 1, Ttl::Never).await.unwrap();
    for _ in 0..5 {
        wire.deaf.store(false, Ordering::SeqCst);
        has_copy(&near, "k").await;
        // At any moment between two proofs.
        sleep(DELAY / 2).await;
        wire.deaf.store(true, Ordering::SeqCst);
        copies_end(&near, Instant::now(), BOUND - DELAY).await;
        // What is lost is lost: answers would not fit their questions any more.
        server.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
        wire.deaf.store(false, Ordering::SeqCst);
        caught_up(&near, "k").await;
    }
}

#[tokio::test]
async fn a_server_that_stands_still() {
    for coherence in [Coherence::Tracking, Coherence::Backplane] {
        let server = Server::start();
        let near = built(
            tiers(server.url())
                .max_staleness(BOUND)
                .coherence(coherence),
        );
        near.set("k", 1, Ttl::Never).await.unwrap();
        has_copy(&near, "k").await;
        server.pause();
        copies_end(&near, Instant::now(), BOUND).await;
        server.resume();
        // It was the same connection all the time; nothing was lost, and copies are used again.
        assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
        has_copy(&near, "k").await;
    }
}

/// As long as the connection is alive, an old copy is used for longer than the bound.
#[tokio::test]
async fn a_connection_that_is_alive() {
    let server = Server::start();
    let near = built(tiers(server.url()).max_staleness(BOUND));
    near.set("k", 1, Ttl::Never).await.unwrap();
    has_copy(&near, "k").await;
    let (mut far_reads, mut read) = (near.tier_stats().far_reads, Instant::now());
    // On a machine that stands still a proof may be late.
    while read.elapsed() < 3 * BOUND {
        assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
        let stats = near.tier_stats();
        if stats.far_reads != far_reads {
            (far_reads, read) = (stats.far_reads, Instant::now());
        }
        sleep(POLITE).await;
    }
}

/// Where nothing is announced, or by writers and this one does not, copies are used until their time is over, and no longer.
#[tokio::test]
async fn copies_that_nothing_is_announced_of() {
    for coherence in [Coherence::NearTtl, Coherence::Backplane] {
        let server = Server::start();
        let near = TieredCacheBackend::builder()
            .redis(redis(server.url()))
            .coherence(coherence)
            .near_ttl(BOUND);
        let (near, far) = (built(near), other(server.url()));
        near.set("k", 1, MINUTE).await.unwrap();
        assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
        far.set("k", 2, MINUTE).await.unwrap();
        let written = Instant::now();
        loop {
            let began = Instant::now();
            if near.get::<u8>("k").await.unwrap() == Some(2) {
                break;
            }
            let late = began.saturating_duration_since(written);
            assert!(late <= BOUND + ROUNDED, "a copy is used {late:?} later");
            sleep(POLITE).await;
        }
        // An own write is seen at once.
        for value in 3..50 {
            near.set("k", value, MINUTE).await.unwrap();
            assert_eq!(near.get::<u8>("k").await.unwrap(), Some(value));
            assert_eq!(near.get::<u8>("k").await.unwrap(), Some(value));
        }
        assert!(near.tier_stats().near_hits > 0);
    }
}
