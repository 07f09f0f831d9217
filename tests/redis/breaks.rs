//! Connections that break, stall or bring nonsense at a given command: what is sent again and what is not.

use crate::scripted::{Asked, Reply, Scripted};
use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{CacheBackend, CacheBackendExt, Error, RedisCacheBackend, Ttl};
use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn on(server: &Scripted) -> RedisCacheBackend {
    let builder = RedisCacheBackend::builder().url(server.url());
    builder.timeout(MINUTE).build().unwrap()
}

/// Keys, of which SCAN tells three at a time. There are no leases, for which a flush has to look before it looks for all else.
struct Store(Mutex<BTreeSet<String>>, AtomicBool);

impl Store {
    fn new(keys: usize) -> Self {
        let keys = (0..keys).map(|nth| format!("cache:{nth:03}"));
        Self(Mutex::new(keys.collect()), AtomicBool::new(false))
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let mut keys = self.0.lock().unwrap();
        match asked.name() {
            "SCAN" if asked.words[3].ends_with("L??") => {
                self.1.store(true, Ordering::SeqCst);
                Reply::well(asked)
            }
            "SCAN" => {
                assert!(self.1.load(Ordering::SeqCst), "leases come first");
                let from = asked.words[1].as_str();
                let after = keys.iter().filter(|key| from == "0" || key.as_str() > from);
                let page: Vec<&String> = after.take(3).collect();
                let cursor = if page.len() < 3 {
                    "0"
                } else {
                    page[2].as_str()
                };
                let mut text =
                    format!("*2\r\n${}\r\n{cursor}\r\n*{}\r\n", cursor.len(), page.len());
                for key in page {
                    text.push_str(&format!("${}\r\n{key}\r\n", key.len()));
                }
                Reply::Say(text.into_bytes())
            }
            "UNLINK" => {
                let removed = keys.remove(&asked.words[1]);
                Reply::Say(format!(":{}\r\n", u8::from(removed)).into_bytes())
            }
            other => panic!("{other} is no part of a flush"),
        }
    }
}

/// A flush of ten keys, in which each command for which `breaks` says so (by its number) is carried out if `done`, but not
/// answered: the server hangs up instead. How many keys are left, and how many commands came.
async fn flushed(
    breaks: impl Fn(u64, &Asked) -> bool + Send + Sync + 'static,
    done: bool,
) -> (Result<(), Error>, usize, u64) {
    let (store, count) = (Arc::new(Store::new(10)), Arc::new(AtomicU64::new(0)));
    let (inside, counter) = (Arc::clone(&store), Arc::clone(&count));
    let server = Scripted::start(move |asked| {
        let nth = counter.fetch_add(1, Ordering::SeqCst);
        if !breaks(nth, asked) {
            return inside.answer(asked);
        }
        if done {
            inside.answer(asked);
        }
        Reply::HangUp
    });
    let answer = on(&server).flush().await;
    (answer, store.len(), count.load(Ordering::SeqCst))
}

#[tokio::test]
async fn a_flush_whose_connection_breaks_is_complete() {
    let (answer, left, commands) = flushed(|_, _| false, true).await;
    answer.unwrap();
    assert_eq!((left, commands), (0, 1 + 4 + 10));
    for done in [false, true] {
        for at in 0..commands {
            let (answer, left, _) = flushed(move |nth, _| nth == at, done).await;
            answer.unwrap_or_else(|error| panic!("{at}, {done}: {error}"));
            assert_eq!(left, 0, "{at}, {done}");
        }
    }
}

#[tokio::test]
async fn a_flush_whose_connection_keeps_breaking_is_an_error() {
    for command in ["SCAN", "UNLINK"] {
        let (answer, left, commands) =
            flushed(move |_, asked| asked.name() == command, false).await;
        let error = answer.unwrap_err();
        assert!(error.is_connection(), "{error}");
        assert_eq!(left, 10);
        assert!(commands < 10, "it is given up: {commands}");
    }
}

/// A server that hangs up at the first `breaks` commands, after it has read them; how often the call's commands came.
async fn sent(
    breaks: u64,
    call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>,
) -> (Result<(), Error>, u64) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let server = Scripted::start(move |asked| {
        if counter.fetch_add(1, Ordering::SeqCst) < breaks {
            return Reply::HangUp;
        }
        match asked.name() {
            "GET" => Reply::nil(),
            "MGET" => Reply::Say(b"*2\r\n_\r\n_\r\n".to_vec()),
            "PTTL" => Reply::Say(b":-2\r\n".to_vec()),
            _ => Reply::Say(b":1\r\n".to_vec()),
        }
    });
    let answer = call(&on(&server)).await;
    (answer, count.load(Ordering::SeqCst))
}

#[tokio::test]
async fn reads_are_sent_twice_and_no_more() {
    async fn row(call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>) {
        let (answer, times) = sent(1, &call).await;
        answer.unwrap();
        assert_eq!(times, 2);
        let (answer, times) = sent(2, &call).await;
        let error = answer.unwrap_err();
        assert!(error.is_connection(), "{error}");
        assert_eq!(times, 2);
    }
    row(async |backend| backend.get::<u8>("k").await.map(drop)).await;
    row(async |backend| backend.get_many::<u8>(&["k", "l"]).await.map(drop)).await;
    row(async |backend| backend.ttl("k").await.map(drop)).await;
    row(async |backend| backend.verify().await).await;
}

#[tokio::test]
async fn writes_are_sent_once() {
    async fn row(call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>) {
        let (answer, times) = sent(1, &call).await;
        let error = answer.unwrap_err();
        assert!(error.is_connection(), "{error}");
        assert_eq!(times, 1);
    }
    row(async |backend| backend.set("k", 1, Ttl::Never).await).await;
    row(async |backend| backend.set_many([("k", 1), ("l", 2)], MINUTE).await).await;
    row(async |backend| backend.delete("k").await.map(drop)).await;
    row(async |backend| backend.delete_many(&["k", "l"]).await.map(drop)).await;
    row(async |backend| backend.incr("k", MINUTE).await.map(drop)).await;
    // One that reads first, which is answered.
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let server = Scripted::start(move |asked| {
        if asked.name() == "GET" {
            return Reply::nil();
        }
        counter.fetch_add(1, Ordering::SeqCst);
        Reply::HangUp
    });
    let update = async |n: Option<u8>| n.unwrap_or(0);
    let updated = on(&server).atomic_update("k", None, update).await;
    assert!(updated.unwrap_err().is_connection());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// A server that answers commands on one key so, and all others with OK: a call on that key fails, and later ones, on a new
/// connection, work.
async fn after(odd: fn() -> Reply, timeout: Duration, is: fn(&Error) -> bool) {
    let server = Scripted::start(move |asked| match asked.words[1].as_str() {
        "cache:odd" => odd(),
        _ => Reply::ok(),
    });
    let builder = RedisCacheBackend::builder().url(server.url());
    let backend = builder.timeout(timeout).build().unwrap();
    // On a machine that stands still any call may be late.
    let works = async || {
        while let Err(error) = backend.set("k", 1, Ttl::Never).await {
            assert!(error.is_timeout() || error.is_connection(), "{error}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    works().await;
    let connections = server.connections();
    let error = backend.set("odd", 1, Ttl::Never).await.unwrap_err();
    assert!(is(&error), "{error}");
    works().await;
    assert!(
        server.connections() > connections,
        "the connection was of no use"
    );
}

#[tokio::test]
async fn answers_that_are_none() {
    let soon = Duration::from_millis(50);
    after(|| Reply::Silence, soon, Error::is_timeout).await;
    after(
        || Reply::Say(b"$10\r\nhal".to_vec()),
        soon,
        Error::is_timeout,
    )
    .await;
    after(
        || Reply::Say(b"nonsense\r\n".to_vec()),
        MINUTE,
        Error::is_connection,
    )
    .await;
    let cut = || Reply::SayAndHangUp(b"$10\r\nhal".to_vec());
    after(cut, MINUTE, Error::is_connection).await;
}

/// Closing waits for a call that is under way, and the call is answered.
#[test]
fn closing_beside_a_call() {
    ends(|| {
        let server = Scripted::well();
        let backend = on(&server);
        server.pause();
        let mut call = pin!(backend.get::<u8>("k"));
        assert!(poll_once(call.as_mut()).is_none());
        let mut close = backend.close();
        assert!(poll_once(Pin::new(&mut close)).is_none());
        let error = block_on(backend.get::<u8>("k")).unwrap_err();
        assert!(error.is_closed(), "{error}");
        server.resume();
        assert_eq!(block_on(call).unwrap(), Some(1));
        block_on(close).unwrap();
    });
}

/// Somebody has begun a call and does not poll it: closing does not wait for that.
#[test]
fn closing_beside_a_call_that_nobody_polls() {
    let server = Scripted::start(|_| Reply::Silence);
    let builder = RedisCacheBackend::builder().url(server.url());
    let builder = builder.timeout(MINUTE).patience(Duration::from_millis(50));
    let backend = Arc::new(builder.build().unwrap());
    let mut call = pin!(backend.get::<u8>("k"));
    assert!(poll_once(call.as_mut()).is_none());
    let closes = Arc::clone(&backend);
    ends(move || block_on(closes.close())).unwrap();
    let error = block_on(backend.get::<u8>("k")).unwrap_err();
    assert!(error.is_closed(), "{error}");
}
