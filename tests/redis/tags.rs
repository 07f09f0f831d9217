//! Tags on real servers: what is stored, what it costs on the wire, versions that a server loses, servers that are down, and other
//! processes.

use crate::server::{Server, shared_cluster};
use nori_cache::{CacheBackend, CacheBackendExt, Error, Operation, Outcome, RedisCacheBackend};
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn at(url: impl Into<String>, prefix: &str) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).prefix(prefix);
    // A budget that holds on a busy machine, too.
    Arc::new(builder.timeout(MINUTE).build().unwrap())
}

/// What this process asked the server for: reads of one key, of many, and what it compared and set.
fn calls(backend: &RedisCacheBackend) -> [u64; 3] {
    let stats = backend.stats();
    let operations = [Operation::Get, Operation::GetMany, Operation::CompareAndSet];
    operations.map(|operation| stats[operation].calls)
}

#[tokio::test]
async fn what_is_stored_and_what_it_costs() {
    let server = Server::start();
    let backend = at(server.url(), "cache:");
    let tags = ["a", "b", "c", "d"];
    let load = || backend.load("n").ttl(HOUR).tags(tags);
    let one = |_| ready(Ok::<_, Error>(1_u64));
    load().or_load(one).await.unwrap();
    // Two looks at the key, one at the versions; these are made, and then the entry.
    assert_eq!(calls(&backend), [2, 1, 2]);
    let bytes = server.ask_bytes(&[b"GET", b"cache:n"]);
    assert!(
        bytes.windows(4).any(|at| at == b"\xC1K\x02\x00"),
        "{bytes:?}"
    );
    let version = server.ask(&["GET", "cache:nori-cache:tag:a"]);
    assert_eq!(version.len(), 34, "{version}");
    let left: u64 = server
        .ask(&["TTL", "cache:nori-cache:tag:a"])
        .parse()
        .unwrap();
    assert!(left > 29 * 24 * 3600, "{left}");
    // A hit is one question for the entry, and one for all versions.
    assert_eq!(backend.get("n").await.unwrap(), Some(1_u64));
    assert_eq!(calls(&backend), [3, 2, 2]);
    assert_eq!(load().or_load(one).await.unwrap(), 1);
    assert_eq!(calls(&backend), [4, 3, 2]);
    // Of many, too, with all their tags.
    backend
        .set_tagged("m", 2_u64, HOUR, &["b", "e"])
        .await
        .unwrap();
    let before = calls(&backend);
    let many = backend.get_many::<u64>(&["n", "none", "m"]).await.unwrap();
    assert_eq!(many, [Some(1), None, Some(2)]);
    assert_eq!(calls(&backend), [before[0], before[1] + 2, before[2]]);
    // What has no tags costs what it did.
    backend.set("plain", 3_u64, HOUR).await.unwrap();
    let before = calls(&backend);
    assert_eq!(backend.get("plain").await.unwrap(), Some(3_u64));
    assert_eq!(
        backend.get_many::<u64>(&["plain"]).await.unwrap(),
        [Some(3)]
    );
    assert_eq!(calls(&backend), [before[0] + 1, before[1] + 1, before[2]]);
}

#[tokio::test]
async fn another_process_s_removal_is_seen_at_once() {
    let server = Server::start();
    let (here, there) = (at(server.url(), "cache:"), at(server.url(), "cache:"));
    for round in 0..20_u64 {
        here.set_tagged("n", round, HOUR, &["tag"]).await.unwrap();
        assert_eq!(there.get("n").await.unwrap(), Some(round));
        there.remove_by_tag("tag").await.unwrap();
        assert_eq!(here.get::<u64>("n").await.unwrap(), None);
        let load = here.load("n").ttl(HOUR).tags(["tag"]);
        let loaded = load
            .or_load(move |_| async move { Ok::<_, Error>(round + 100) })
            .await;
        assert_eq!(loaded.unwrap(), round + 100);
        assert_eq!(there.get("n").await.unwrap(), Some(round + 100));
    }
}

/// What evicts versions, loses them or empties the server brings nothing back: not when there are new versions, either, nor when what
/// was there before is put back beside them.
#[tokio::test]
async fn what_a_server_loses() {
    let server = Server::start();
    let backend = at(server.url(), "cache:");
    let version = "cache:nori-cache:tag:tag";
    let write = async |key: &str| {
        let written = backend.set_tagged(key, 1_u64, HOUR, &["tag"]);
        written.await.unwrap();
    };
    let losses: [&[&str]; 3] = [&["DEL", version], &["FLUSHALL"], &["SET", version, "junk"]];
    for lose in losses {
        write("n").await;
        let old = backend.get_value("n").await.unwrap().unwrap();
        let old = old.encode().unwrap().into_owned();
        server.ask(lose);
        server.ask_bytes(&[b"SET", b"cache:n", &old]);
        assert_eq!(backend.get::<u64>("n").await.unwrap(), None, "{lose:?}");
        write("m").await;
        assert_eq!(backend.get("m").await.unwrap(), Some(1_u64));
        assert_eq!(backend.get::<u64>("n").await.unwrap(), None, "{lose:?}");
    }
    assert_eq!(backend.undecodable().total(), 0);
}

#[tokio::test]
async fn a_server_that_is_down() {
    let mut server = Server::start();
    let backend = at(server.url(), "cache:");
    backend
        .set_tagged("n", 1_u64, HOUR, &["tag"])
        .await
        .unwrap();
    server.kill();
    let error = backend.remove_by_tag("tag").await.unwrap_err();
    assert!(error.is_connection() || error.is_timeout(), "{error}");
    assert!(
        error.to_string().starts_with(r#"remove_by_tag "tag": "#),
        "{error}"
    );
    assert!(backend.namespace("tag").clear().await.is_err());
    assert!(
        backend
            .set_tagged("n", 1_u64, HOUR, &["tag"])
            .await
            .is_err()
    );
    let error = backend.get::<u64>("n").await.unwrap_err();
    assert!(error.to_string().starts_with(r#"get "n": "#), "{error}");
    // Loads go on, and store nothing.
    let load = backend.load("n").ttl(HOUR).tags(["tag"]);
    let answer = load
        .answer_or_load(|_| ready(Ok::<_, Error>(2_u64)))
        .await
        .unwrap();
    assert!(answer.store_error().is_some());
    assert_eq!(answer.into_value(), 2);
    let load = backend.load("n").ttl(HOUR).tags(["tag"]).strict();
    assert!(
        load.or_load(|_| ready(Ok::<_, Error>(2_u64)))
            .await
            .is_err()
    );
}

/// One process loads and reads, another changes the source and removes, with counters that say what may be read.
async fn races(here: Arc<RedisCacheBackend>, there: Arc<RedisCacheBackend>) {
    const REMOVALS: u64 = 500;
    let (source, removed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for reader in 0..4 {
        let backend = Arc::clone(if reader == 3 { &there } else { &here });
        let (source, removed) = (Arc::clone(&source), Arc::clone(&removed));
        tasks.spawn(async move {
            let (mut reads, mut loads) = (0_u64, 0_u64);
            loop {
                let least = removed.load(Ordering::SeqCst);
                if least == REMOVALS && reads > 100 {
                    return (reads, loads);
                }
                reads += 1;
                let key = ["a", "b"][(reads % 2) as usize];
                let found = if reads.is_multiple_of(3) {
                    backend.get::<u64>(key).await.unwrap()
                } else {
                    let source = Arc::clone(&source);
                    let load = backend.load(key).ttl(HOUR).tags(["tag", key]);
                    let number = |_| async move {
                        let number = source.load(Ordering::SeqCst);
                        tokio::task::yield_now().await;
                        Ok::<_, Error>(number)
                    };
                    let answer = load.answer_or_load(number).await.unwrap();
                    loads += u64::from(matches!(answer.outcome(), Outcome::Loaded));
                    Some(answer.into_value())
                };
                assert!(
                    found.is_none_or(|found| found >= least),
                    "{found:?} after {least}"
                );
            }
        });
    }
    for number in 1..=REMOVALS {
        source.store(number, Ordering::SeqCst);
        there.remove_by_tag("tag").await.unwrap();
        removed.store(number, Ordering::SeqCst);
    }
    let all = tasks.join_all().await;
    println!("{all:?} reads and loads beside {REMOVALS} removals");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_beside_removals_by_another_process() {
    let server = Server::start();
    races(at(server.url(), "cache:"), at(server.url(), "cache:")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn loads_beside_removals_on_a_cluster() {
    let cluster = shared_cluster();
    races(at(cluster.url(), "tags:"), at(cluster.url(), "tags:")).await;
}
