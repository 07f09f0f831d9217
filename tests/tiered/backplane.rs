//! Where writers tell each other what they have written: what is told, to whom it does not matter, and who may not.

use crate::redis;
use crate::server::{Cluster, Server, wait_until};
use crate::silence::Wire;
use crate::{MINUTE, POLITE, built, has_copy, other, read_after, tiers};
use nori_cache::{
    CacheBackend, CacheBackendExt, Coherence, Error, TieredCacheBackend, TieredCacheBackendBuilder,
    Ttl, Value,
};
use std::future::ready;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const CHANNEL: &str = "cache:nori-cache:written";
/// Long before a copy's time is over.
const PATIENCE: Duration = Duration::from_secs(300);

/// Copies of these are used for an hour, unless they are told of a write.
fn planes(url: impl Into<String>) -> TieredCacheBackendBuilder {
    tiers(url).coherence(Coherence::Backplane)
}

/// Reads until that is what is read.
async fn sees(near: &TieredCacheBackend, key: &str, expected: Option<u32>) {
    let written = (expected, Instant::now());
    let read = read_after(near, Coherence::Backplane, key, written, PATIENCE).await;
    assert_eq!(read, expected);
}

/// A subscriber of its own.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn at(server: &Server) -> Self {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(MINUTE)).unwrap();
        write!(stream, "SUBSCRIBE {CHANNEL}\r\n").unwrap();
        let mut listener = Self(BufReader::new(stream));
        let confirmed = listener.next();
        assert_eq!(confirmed[0], b"subscribe");
        listener
    }

    /// The three parts of a message.
    fn next(&mut self) -> Vec<Vec<u8>> {
        let line = |from: &mut BufReader<TcpStream>| {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        };
        assert_eq!(line(&mut self.0), "*3");
        let mut part = || {
            let head = line(&mut self.0);
            let Some(len) = head.strip_prefix('$') else {
                return head.into_bytes();
            };
            let mut bytes = vec![0; len.parse::<usize>().unwrap() + 2];
            self.0.read_exact(&mut bytes).unwrap();
            bytes.truncate(bytes.len() - 2);
            bytes
        };
        (0..3).map(|_| part()).collect()
    }

    /// What was published so far, but for notices of nothing.
    fn heard(&mut self, server: &Server) -> Vec<Vec<u8>> {
        const END: &str = "that is all";
        server.ask(&["PUBLISH", CHANNEL, END]);
        let notices = std::iter::from_fn(|| self.next().pop());
        let notices = notices.take_while(|notice| notice != END.as_bytes());
        notices.filter(|notice| notice != b"k").collect()
    }
}

fn notice(keys: &[&str]) -> Vec<u8> {
    let mut notice = vec![b'k'];
    for key in keys {
        notice.extend((key.len() as u32).to_be_bytes());
        notice.extend(key.as_bytes());
    }
    notice
}

#[tokio::test]
async fn one_notice_goes_with_a_call() {
    let server = Server::start();
    let writer = built(planes(server.url()));
    writer.verify().await.unwrap();
    // The scripts are known from now on.
    writer.incr("n", MINUTE).await.unwrap();
    let update = async |n: Option<u32>| n.unwrap_or(0) + 1;
    writer.atomic_update("n", None, update).await.unwrap();
    let mut listener = Listener::at(&server);
    let mut heard = || listener.heard(&server);
    let odd = "a\0\r\n*3";
    for key in ["k", "", odd] {
        writer.set(key, 1, MINUTE).await.unwrap();
        assert_eq!(heard(), [notice(&[key])]);
    }
    assert_eq!(writer.incr("n", MINUTE).await.unwrap(), 3);
    writer.atomic_update("n", None, update).await.unwrap();
    assert_eq!(heard(), [notice(&["n"]), notice(&["n"])]);
    writer.delete("k").await.unwrap();
    writer.set("k", 1, Duration::ZERO).await.unwrap();
    assert_eq!(heard(), [notice(&["k"]), notice(&["k"])]);
    writer
        .set_many([("a", 1), ("b", 1), ("c", 1)], MINUTE)
        .await
        .unwrap();
    writer.delete_many(&["a", "b"]).await.unwrap();
    assert_eq!(heard(), [notice(&["a", "b", "c"]), notice(&["a", "b"])]);
    // Of reads nobody is told, nor of leases, but of what is loaded.
    writer.get::<u32>("a").await.unwrap();
    writer.get_many::<u32>(&["a", "b"]).await.unwrap();
    writer.ttl("a").await.unwrap();
    let load = writer.load("l").fleet_single_flight();
    load.or_load(|_| ready(Ok::<_, Error>(1))).await.unwrap();
    let told = heard();
    assert!(
        !told.is_empty() && told.iter().all(|it| *it == notice(&["l"])),
        "{told:?}"
    );
    // Too many to be named, and all.
    let many: Vec<String> = (0..1_000).map(|nth| format!("{nth:0100}")).collect();
    let entries = many.iter().map(|key| (key.as_str(), 1));
    writer.set_many(entries, MINUTE).await.unwrap();
    assert_eq!(heard(), [b"*"]);
    writer.flush().await.unwrap();
    let told = heard();
    assert!(
        !told.is_empty() && told.iter().all(|it| it == b"*"),
        "{told:?}"
    );
}

#[tokio::test]
async fn every_kind_of_write_is_seen_elsewhere() {
    let server = Server::start();
    let cluster = crate::server::shared_cluster();
    for url in [server.url(), cluster.url()] {
        let [near, there] = [(); 2].map(|()| {
            let redis = redis(&url).prefix("seen:");
            built(planes(&url).redis(redis))
        });
        let renew = async || {
            near.set("k", 1, MINUTE).await.unwrap();
            has_copy(&near, "k").await;
        };
        renew().await;
        there.set("k", 2, MINUTE).await.unwrap();
        sees(&near, "k", Some(2)).await;
        renew().await;
        there
            .set_many([("j", 3), ("k", 3), ("l", 3)], MINUTE)
            .await
            .unwrap();
        sees(&near, "k", Some(3)).await;
        renew().await;
        there.incr("k", MINUTE).await.unwrap();
        sees(&near, "k", Some(2)).await;
        renew().await;
        let update = async |n: Option<u32>| n.unwrap_or(0) + 6;
        there.atomic_update("k", None, update).await.unwrap();
        sees(&near, "k", Some(7)).await;
        renew().await;
        there.delete("k").await.unwrap();
        sees(&near, "k", None).await;
        let load = there.load("k").fleet_single_flight();
        load.or_load(|_| ready(Ok::<u32, Error>(8))).await.unwrap();
        sees(&near, "k", Some(8)).await;
        renew().await;
        there.delete_many(&["k", "l"]).await.unwrap();
        sees(&near, "k", None).await;
        renew().await;
        there.set("k", 1, Duration::ZERO).await.unwrap();
        sees(&near, "k", None).await;
        renew().await;
        there.flush().await.unwrap();
        sees(&near, "k", None).await;
        assert!(near.tier_stats().near_hits > 0);
    }
}

/// What a script answers inside of a transaction is told apart.
#[tokio::test]
async fn scripts_work_as_ever() {
    let server = Server::start();
    let near = built(planes(server.url()));
    server.ask(&["RPUSH", "cache:list", "a"]);
    let error = near.incr("list", MINUTE).await.unwrap_err();
    assert!(error.is_wrong_type(), "{error}");
    near.set("k", 1, MINUTE).await.unwrap();
    // Scripts that the server has forgotten.
    for nth in 2..10 {
        server.ask(&["SCRIPT", "FLUSH"]);
        assert_eq!(near.incr("k", MINUTE).await.unwrap(), nth);
        assert_eq!(near.get::<i64>("k").await.unwrap(), Some(nth));
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_takes_everything_out_of_use() {
    let server = Server::start();
    let near = built(planes(server.url()));
    for nonsense in [&b""[..], b"*", b"k\0\0\0\x09a", b"\xFF\0", b"cache:k"] {
        near.set("k", 1, MINUTE).await.unwrap();
        has_copy(&near, "k").await;
        let heard = server.ask_bytes(&[b"PUBLISH", CHANNEL.as_bytes(), nonsense]);
        assert_eq!(heard, b"1");
        wait_until("the copy is not used", || !near.read_now("k", &mut |_| ()));
    }
    // One of another program's is nobody's business.
    has_copy(&near, "k").await;
    assert_eq!(server.ask(&["PUBLISH", "cache:other", "*"]), "0");
}

/// Whoever gives a write up does not keep others from being told of it, if it takes place.
#[tokio::test]
async fn a_write_whose_caller_has_given_up() {
    let server = Server::start();
    let [near, there] = [(); 2].map(|()| built(planes(server.url())));
    there.verify().await.unwrap();
    let (mut value, mut took_place) = (1, 0);
    while took_place < 5 {
        value += 1;
        near.set("k", 1, MINUTE).await.unwrap();
        has_copy(&near, "k").await;
        server.pause();
        {
            let mut write = pin!(there.set("k", value, MINUTE));
            let mut context = Context::from_waker(Waker::noop());
            assert!(write.as_mut().poll(&mut context).is_pending());
            // It may be on its way by then.
            sleep(POLITE).await;
        }
        server.resume();
        // Behind it.
        there.ttl("k").await.unwrap();
        if server.ask(&["GET", "cache:k"]) == value.to_string() {
            took_place += 1;
            sees(&near, "k", Some(value)).await;
        }
    }
}

/// A server ends connections that subscribe and have much to read. The one that carries the calls is another.
#[tokio::test]
async fn a_large_answer() {
    let server = Server::start();
    let near = built(planes(server.url()));
    let value = Value::encoded(format!("\"{}\"", "v".repeat(40 << 20)));
    near.set_value("big", value.clone(), Ttl::Never)
        .await
        .unwrap();
    let found = near.latest_value("big").await.unwrap().unwrap();
    assert!(found.is_same(&value));
    has_copy(&near, "big").await;
    assert_eq!(near.stats().links[0].reconnects, 0);
}

/// A name that leads to one server and then to another: what is published there is not heard here.
#[tokio::test]
async fn two_connections_to_two_servers() {
    let servers = [Server::start(), Server::start()];
    let wire = Wire::by_turns(servers.iter().map(|it| it.port).collect(), Duration::ZERO);
    let near = built(planes(wire.url()));
    let error = near.verify().await.unwrap_err();
    assert!(
        error.is_connection() && error.to_string().contains("two servers"),
        "{error}"
    );
}

#[tokio::test]
async fn servers_that_are_killed_and_restarted() {
    let mut server = Server::start();
    let near = built(planes(server.url()));
    for value in 1..6 {
        near.set("k", value, Ttl::Never).await.unwrap();
        has_copy(&near, "k").await;
        server.restart();
        crate::caught_up(&near, "k").await;
        assert_eq!(near.get::<u8>("k").await.unwrap(), None);
    }
    server.kill();
    while let Ok(value) = near.get::<u8>("k").await {
        assert_eq!(value, None);
        sleep(POLITE).await;
    }
    assert!(!near.read_now("k", &mut |_| ()));
}

/// Another node has the key by now, and what is published there reaches who has subscribed here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_over() {
    let mut cluster = Cluster::with_replicas(1);
    let [near, there] = [(); 2].map(|()| built(planes(cluster.url())));
    let plain = other(cluster.url());
    near.set("k", 1, Ttl::Never).await.unwrap();
    has_copy(&near, "k").await;
    let (primary, replica) = cluster.primary_and_replica();
    cluster.nodes[primary].kill();
    let takeover = ["CLUSTER", "FAILOVER", "TAKEOVER"];
    assert_eq!(cluster.nodes[replica].ask(&takeover), "OK");
    while let Err(error) = there.set("k", 2, Ttl::Never).await {
        assert!(error.is_connection(), "{error}");
        sleep(POLITE).await;
    }
    sees(&near, "k", Some(2)).await;
    has_copy(&near, "k").await;
    there.set("k", 3, Ttl::Never).await.unwrap();
    sees(&near, "k", Some(3)).await;
    assert_eq!(plain.get::<u8>("k").await.unwrap(), Some(3));
}

/// A user with these rights.
fn user(server: &Server, name: &str, rules: &[&str]) -> Arc<TieredCacheBackend> {
    let mut set_user = vec!["ACL", "SETUSER", name, "on", ">hunter2", "~cache:*"];
    set_user.extend(rules);
    assert_eq!(server.ask(&set_user), "OK");
    let url = format!("redis://{name}:hunter2@{}", server.address());
    built(planes(url))
}

/// What the documentation lists is enough, and each of it that a backplane needs beyond plain Redis is needed.
#[tokio::test]
async fn a_user_who_may_do_no_more_than_is_needed() {
    const NEEDED: [&str; 17] = [
        "+get",
        "+mget",
        "+set",
        "+unlink",
        "+pttl",
        "+incrby",
        "+exists",
        "+eval",
        "+evalsha",
        "+scan",
        "+ping",
        "+hello",
        "+multi",
        "+exec",
        "+subscribe",
        "+publish",
        "&cache:nori-cache:*",
    ];
    let server = Server::start();
    let near = user(&server, "ana", &NEEDED);
    near.verify().await.unwrap();
    near.set("k", 1, MINUTE).await.unwrap();
    assert_eq!(near.get::<u8>("k").await.unwrap(), Some(1));
    has_copy(&near, "k").await;
    assert_eq!(near.incr("k", MINUTE).await.unwrap(), 2);
    near.set_many([("k", 3), ("l", 4)], MINUTE).await.unwrap();
    assert_eq!(near.delete_many(&["l"]).await.unwrap(), 1);
    near.flush().await.unwrap();
    assert_eq!(near.get::<u8>("k").await.unwrap(), None);
    let beyond = [
        "+multi",
        "+exec",
        "+subscribe",
        "+publish",
        "+ping",
        "&cache:nori-cache:*",
    ];
    for lacking in beyond {
        let rules: Vec<&str> = (NEEDED.into_iter()).filter(|it| *it != lacking).collect();
        let near = user(&server, "bo", &rules);
        for error in [
            near.verify().await.unwrap_err(),
            near.get::<u8>("k").await.unwrap_err(),
            near.set("k", 1, MINUTE).await.unwrap_err(),
        ] {
            assert!(error.is_rejected(), "{lacking}: {error}");
            let text = error.to_string();
            assert!(
                text.contains("to subscribe and publish") && text.contains("NOPERM"),
                "{text}"
            );
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert_eq!(server.ask(&["ACL", "DELUSER", "bo"]), "1");
    }
}
