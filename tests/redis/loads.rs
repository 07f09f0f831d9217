//! Loads on a real server: each option, what is on the wire, and a server that goes away.
//!
//! What has to expire lives for a millisecond, and the test waits until it has; what must not lives for an hour.

use crate::server::Server;
use nori_cache::{
    Answer, CacheBackend, CacheBackendExt, Error, LoadContext, Outcome, RedisCacheBackend, Ttl,
};
use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn on(server: &Server) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(server.url());
    // A budget that holds on a busy machine, too.
    Arc::new(builder.timeout(MINUTE).build().unwrap())
}

fn down(_: LoadContext<u64>) -> std::future::Ready<Result<u64, String>> {
    ready(Err("the source is down".to_owned()))
}

/// A loader that gets this.
fn gets(
    value: u64,
) -> impl FnOnce(LoadContext<u64>) -> std::future::Ready<Result<u64, Error>> + Send + 'static {
    move |_| ready(Ok(value))
}

/// Puts this under the key, kept for an hour, and waits until it has expired.
async fn stale(backend: &Arc<RedisCacheBackend>, key: &str, value: u64) {
    let load = backend.load(key).ttl(MS).fail_safe(HOUR).skip_read();
    load.or_load(gets(value)).await.unwrap();
    while backend.get::<u64>(key).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
}

async fn all_end(backend: &Arc<RedisCacheBackend>) {
    while backend.load_counts().in_background > 0 {
        tokio::time::sleep(MS).await;
    }
    let flights = format!("{:?}", backend.flights());
    assert_eq!(flights, "Flights { loads: 0, updates: 0 }");
}

fn has<T>(answer: &Answer<T>, is: impl FnOnce(&Outcome) -> bool) -> bool {
    is(answer.outcome())
}

#[tokio::test]
async fn what_has_only_a_time_to_live_is_plain_and_what_is_kept_has_an_envelope() {
    let server = Server::start();
    let backend = on(&server);
    let text = |_| ready(Ok::<_, Error>("ü".to_owned()));
    let load = backend.load("plain").ttl(HOUR).jitter(0.1);
    load.or_load(text).await.unwrap();
    assert_eq!(server.ask(&["GET", "cache:plain"]), "\"ü\"");
    let millis: u128 = server.ask(&["PTTL", "cache:plain"]).parse().unwrap();
    assert!(millis <= HOUR.as_millis(), "{millis}");

    let load = backend.load("kept").ttl(HOUR).fail_safe(HOUR);
    load.or_load(text).await.unwrap();
    let bytes = server.ask_bytes(&[b"GET", b"cache:kept"]);
    let at = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(at(b"\xC1K\x01\x00") && at("\"ü\"".as_bytes()), "{bytes:?}");
    assert_eq!(backend.get::<String>("kept").await.unwrap().unwrap(), "ü");
    let millis: u128 = server.ask(&["PTTL", "cache:kept"]).parse().unwrap();
    assert!(millis > HOUR.as_millis(), "{millis}");
    // Of another version it is nothing.
    server.ask(&["SETRANGE", "cache:kept", "2", "\x03"]);
    assert_eq!(backend.get::<String>("kept").await.unwrap(), None);
    assert_eq!(backend.undecodable().foreign, 1);
    // Integers that are kept are no counters, those that are not are.
    backend.load("n").or_load(gets(41)).await.unwrap();
    assert_eq!(server.ask(&["INCR", "cache:n"]), "42");
    stale(&backend, "m", 1).await;
    let error = backend.incr("m", MINUTE).await.unwrap_err();
    assert!(error.is_wrong_type(), "{error}");
}

#[tokio::test]
async fn fail_safe_and_its_pause() {
    let server = Server::start();
    let backend = on(&server);
    stale(&backend, "n", 1).await;
    let load = || backend.load("n").fail_safe(HOUR).fail_safe_throttle(HOUR);
    let answer = load().answer_or_load(down).await.unwrap();
    assert!(has(&answer, |it| matches!(it, Outcome::FailSafe(_))));
    let answer = load().answer_or_load(gets(2)).await.unwrap();
    assert!(has(&answer, |it| matches!(it, Outcome::FailSafe(_))));
    assert_eq!(answer.into_value(), 1);
    // Another process tries for itself.
    let other = on(&server);
    let answer = other.load("n").fail_safe(HOUR).answer_or_load(gets(3));
    assert!(has(&answer.await.unwrap(), |it| matches!(
        it,
        Outcome::Loaded
    )));
    let answer = load().answer_or_load(down).await.unwrap();
    assert!(has(&answer, |it| matches!(it, Outcome::Hit)));
    assert_eq!(answer.into_value(), 3);
    // Past the window nothing is left.
    let load = backend.load("n").ttl(MS).fail_safe(MS).skip_read();
    load.or_load(gets(4)).await.unwrap();
    while server.ask(&["EXISTS", "cache:n"]) != "0" {
        tokio::time::sleep(MS).await;
    }
}

#[tokio::test]
async fn timeouts() {
    let server = Server::start();
    let backend = on(&server);
    let never = |_| pending::<Result<u64, Error>>();
    let load = backend.load("n").hard_timeout(MS).or_load(never);
    assert!(load.await.unwrap_err().is_timeout());
    stale(&backend, "n", 1).await;
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let slow = |_| async move {
        gate.notified().await;
        Ok::<_, Error>(2)
    };
    let load = backend.load("n").ttl(HOUR).fail_safe(HOUR).soft_timeout(MS);
    let answer = load.answer_or_load(slow).await.unwrap();
    assert!(has(&answer, |it| matches!(it, Outcome::TimedOut)));
    assert_eq!(answer.into_value(), 1);
    go.notify_one();
    all_end(&backend).await;
    assert_eq!(backend.get("n").await.unwrap(), Some(2_u64));
}

#[tokio::test]
async fn refreshes_in_the_background() {
    let server = Server::start();
    let backend = on(&server);
    // Due after some milliseconds, of an hour.
    let eager = || backend.load("n").ttl(HOUR).eager_refresh(0.000_001);
    eager().or_load(gets(1)).await.unwrap();
    loop {
        let answer = eager().answer_or_load(gets(2)).await.unwrap();
        assert!(has(&answer, |it| matches!(it, Outcome::Hit)));
        if answer.is_refreshing() {
            break;
        }
    }
    all_end(&backend).await;
    assert_eq!(backend.get("n").await.unwrap(), Some(2_u64));

    stale(&backend, "n", 3).await;
    let load = || backend.load("n").ttl(HOUR).stale_while_revalidate(HOUR);
    let answer = load().answer_or_load(gets(4)).await.unwrap();
    assert!(has(&answer, |it| matches!(it, Outcome::Stale)));
    assert_eq!(answer.into_value(), 3);
    all_end(&backend).await;
    assert_eq!(load().or_load(down).await.unwrap(), 4);
    // A write wins over what is in the background.
    stale(&backend, "n", 5).await;
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let slow = |_| async move {
        gate.notified().await;
        Ok::<_, Error>(6)
    };
    let begun = backend.load_counts().begun;
    let answer = load().answer_or_load(slow).await.unwrap();
    assert!(answer.is_refreshing());
    while backend.load_counts().begun == begun {
        tokio::time::sleep(MS).await;
    }
    assert!(backend.delete("n").await.unwrap());
    go.notify_one();
    all_end(&backend).await;
    assert_eq!(server.ask(&["EXISTS", "cache:n"]), "0");
}

#[tokio::test]
async fn what_is_remembered_of_none_and_of_errors() {
    let server = Server::start();
    let backend = on(&server);
    let load = || backend.load("none").negative_ttl(HOUR);
    let none = |_| ready(Ok::<Option<u64>, Error>(None));
    assert_eq!(load().or_load_optional(none).await.unwrap(), None);
    let some = |_| ready(Ok::<_, Error>(Some(1_u64)));
    assert_eq!(load().or_load_optional(some).await.unwrap(), None);
    assert_eq!(backend.get::<u64>("none").await.unwrap(), None);
    assert_eq!(backend.undecodable().total(), 0);

    let load = || backend.load("error").cache_errors(HOUR);
    assert_eq!(
        load().or_load(down).await.unwrap_err(),
        "the source is down"
    );
    let error = load().or_load(gets(1)).await.unwrap_err();
    assert!(error.is_load(), "{error}");
    backend.delete("error").await.unwrap();
    assert_eq!(load().or_load(gets(1)).await.unwrap(), 1);
}

#[tokio::test]
async fn a_loader_decides() {
    let server = Server::start();
    let backend = on(&server);
    let first = |cx: LoadContext<u64>| async move {
        cx.validator_is("v1");
        cx.ttl(MS);
        Ok::<_, Error>(1)
    };
    let load = || backend.load("n").ttl(HOUR).fail_safe(HOUR);
    load().tags(["numbers"]).or_load(first).await.unwrap();
    while backend.get::<u64>("n").await.unwrap().is_some() {
        tokio::time::sleep(MS).await;
    }
    let same = |cx: LoadContext<u64>| async move {
        assert_eq!((cx.stale(), cx.validator()), (Some(&1), Some("v1")));
        assert_eq!(cx.stale_tags().collect::<Vec<_>>(), ["numbers"]);
        Ok::<_, Error>(cx.not_modified().unwrap())
    };
    load().or_load(same).await.unwrap();
    assert_eq!(backend.get("n").await.unwrap(), Some(1_u64));
    let not_cached = |cx: LoadContext<u64>| async move {
        cx.not_cached();
        Ok::<_, Error>(2)
    };
    let loaded = load().skip_read().or_load(not_cached);
    assert_eq!(loaded.await.unwrap(), 2);
    let loaded = load().skip_read().skip_write().or_load(gets(3));
    assert_eq!(loaded.await.unwrap(), 3);
    assert_eq!(backend.get("n").await.unwrap(), Some(1_u64));
    assert_ne!(backend.ttl("n").await.unwrap(), Some(Ttl::Never));
}

/// One load for all callers, who get what it got; and when the server is back, it is stored.
#[tokio::test]
async fn a_server_that_goes_away_and_comes_back() {
    let mut server = Server::start();
    let backend = on(&server);
    backend.load("n").or_load(gets(1)).await.unwrap();
    server.kill();
    let go = Arc::new(Notify::new());
    let load = |value| {
        let (backend, gate) = (Arc::clone(&backend), Arc::clone(&go));
        tokio::spawn(async move {
            let slow = move |_| async move {
                gate.notified().await;
                Ok::<_, Error>(value)
            };
            backend.load("n").answer_or_load(slow).await.unwrap()
        })
    };
    let callers: Vec<_> = (0..8).map(|_| load(2)).collect();
    while backend.load_counts().unread < 8 {
        tokio::time::sleep(MS).await;
    }
    // None of them waits for more than the leader any more.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    go.notify_one();
    for caller in callers {
        let answer = caller.await.unwrap();
        if has(&answer, |it| matches!(it, Outcome::Loaded)) {
            assert!(answer.store_error().unwrap().is_connection());
        }
        assert_eq!(answer.into_value(), 2);
    }
    assert_eq!(backend.load_counts().begun, 2);
    let strict = backend.load("n").strict().or_load(gets(3)).await;
    assert!(strict.unwrap_err().is_connection());
    server.start_again();
    loop {
        let answer = backend.load("n").answer_or_load(gets(4)).await.unwrap();
        if answer.store_error().is_none() {
            break;
        }
        tokio::time::sleep(MS).await;
    }
    assert_eq!(server.ask(&["GET", "cache:n"]), "4");
    all_end(&backend).await;
}
