//! A server that is down, silent, or back, on cue.
//!
//! A budget here is an hour where nothing may run out of time, so that a wait for it would show as a test that hangs; or a moment
//! where everything must. What a machine that stalls does to a call with a moment's budget, it may do: such calls are made until
//! they work. How long the breaker stays open, who may dial and when a silent connection is given up is decided by state machines
//! without a clock, which have tests beside them.

use crate::scripted::{Reply, Scripted};
use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{CacheBackend, CacheBackendExt, Codec, Error, RedisCacheBackend, Ttl};
use std::pin::Pin;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(50);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);

fn on(url: impl Into<String>, budget: Duration) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(budget);
    Arc::new(builder.build().unwrap())
}

fn is_lost(error: &Error) -> bool {
    error.is_connection() || error.is_timeout()
}

/// Calls until it works.
fn works(backend: &RedisCacheBackend) {
    while let Err(error) = block_on(backend.set("k", 1, Ttl::Never)) {
        assert!(is_lost(&error), "{error}");
        sleep(POLITE);
    }
}

/// Every call fails so, with the name of what was tried.
fn every_call_fails(backend: &RedisCacheBackend, is: fn(&Error) -> bool) {
    let update = async |n: Option<u8>| n.unwrap_or(0);
    let load = async || Ok::<u8, Error>(1);
    let view = backend.with_codec(&Codec::bytes());
    let calls: [(&str, Result<(), Error>); 14] = [
        ("get", block_on(backend.get::<u8>("k")).map(drop)),
        ("set", block_on(backend.set("k", 1, MINUTE))),
        ("set", block_on(backend.set_ref("k", "text", MINUTE))),
        ("get", block_on(view.get::<String>("k")).map(drop)),
        ("set", block_on(view.set("k", "text", MINUTE))),
        ("delete", block_on(backend.delete("k")).map(drop)),
        ("incr", block_on(backend.incr("k", MINUTE)).map(drop)),
        ("ttl", block_on(backend.ttl("k")).map(drop)),
        (
            "get_many",
            block_on(backend.get_many::<u8>(&["k", "l"])).map(drop),
        ),
        (
            "set_many",
            block_on(backend.set_many([("k", 1), ("l", 2)], MINUTE)),
        ),
        (
            "delete_many",
            block_on(backend.delete_many(&["k", "l"])).map(drop),
        ),
        // It begins with a read.
        (
            "get",
            block_on(backend.atomic_update("k", None, update)).map(drop),
        ),
        ("flush", block_on(backend.flush())),
        ("verify", block_on(backend.verify())),
    ];
    for (name, answer) in calls {
        let error = answer.expect_err(name);
        assert!(is(&error), "{error}");
        assert!(error.to_string().starts_with(name), "{error}");
    }
    // What is loaded cannot be stored, and is returned; unless the backend is closed.
    let loaded = block_on(backend.get_or_load("k", MINUTE, load));
    match &loaded {
        Err(error) => assert!(error.is_closed() && is(error), "{error}"),
        Ok(value) => assert_eq!(*value, 1),
    }
    let strict = backend.load_scoped("k").strict().or_load(|_| load());
    let error: Error = block_on(strict).unwrap_err();
    assert!(is(&error), "{error}");
}

/// Who is not there says so at once: this takes none of the budget.
#[test]
fn a_server_that_was_never_there() {
    ends(|| {
        // The port of a service that nobody runs any more.
        let backend = on("redis://127.0.0.1:1", HOUR);
        every_call_fails(&backend, Error::is_connection);
        block_on(backend.close()).unwrap();
        every_call_fails(&backend, Error::is_closed);
    });
}

#[test]
fn a_server_that_goes_away_and_comes_back() {
    ends(|| {
        let server = Scripted::well();
        let backend = on(server.url(), HOUR);
        for _ in 0..3 {
            works(&backend);
            server.stop();
            every_call_fails(&backend, Error::is_connection);
            server.start_again();
        }
        works(&backend);
    });
}

#[test]
fn a_server_that_is_silent_and_speaks_again() {
    ends(|| {
        let server = Scripted::well();
        let backend = on(server.url(), MOMENT);
        works(&backend);
        server.pause();
        let error = block_on(backend.get::<u8>("k")).unwrap_err();
        assert!(error.is_timeout(), "{error}");
        every_call_fails(&backend, is_lost);
        server.resume();
        works(&backend);
    });
}

/// Silent from the start: the budget is for connecting, too.
#[test]
fn a_server_that_never_speaks() {
    ends(|| {
        let server = Scripted::well();
        server.pause();
        let backend = on(server.url(), MOMENT);
        every_call_fails(&backend, is_lost);
    });
}

type Call = Pin<Box<dyn Future<Output = Result<Option<u8>, Error>> + Send>>;

fn get(backend: &Arc<RedisCacheBackend>) -> Call {
    let backend = Arc::clone(backend);
    Box::pin(async move { backend.get("k").await })
}

/// All who come before there is a connection wait for the same one.
#[test]
fn callers_share_one_attempt_to_connect() {
    ends(|| {
        let server = Scripted::well();
        server.pause();
        let backend = on(server.url(), HOUR);
        let mut calls: Vec<Call> = (0..64).map(|_| get(&backend)).collect();
        for call in &mut calls {
            assert!(poll_once(call.as_mut()).is_none());
        }
        server.resume();
        for call in calls {
            assert_eq!(block_on(call).unwrap(), Some(1));
        }
        assert_eq!((server.connections(), server.commands()), (1, 64));
    });
}

/// Once an attempt has failed, one waits for the next, and all others are told at once.
#[test]
fn nobody_else_waits_for_the_next_attempt() {
    ends(|| {
        let server = Scripted::well();
        server.stop();
        let backend = on(server.url(), HOUR);
        let error = block_on(backend.get::<u8>("k")).unwrap_err();
        assert!(error.is_connection(), "{error}");
        server.pause();
        // When the breaker's pause is over, one call dials; the server takes the connection and says nothing.
        let dials = loop {
            let mut call = get(&backend);
            match poll_once(call.as_mut()) {
                None => break call,
                Some(answer) => assert!(answer.unwrap_err().is_connection()),
            }
            sleep(POLITE);
        };
        for _ in 0..64 {
            let answer = poll_once(get(&backend).as_mut()).expect("it waits");
            assert!(answer.unwrap_err().is_connection());
        }
        server.resume();
        assert_eq!(block_on(dials).unwrap(), Some(1));
        assert_eq!((server.connections(), server.commands()), (1, 1));
        assert_eq!(block_on(get(&backend)).unwrap(), Some(1));
    });
}

/// A server that stands still for less than a call may take: all under way are answered, each command was sent once, and the
/// connection stays.
#[test]
fn a_server_that_stands_still_for_a_while() {
    ends(|| {
        let server = Scripted::well();
        let backend = on(server.url(), HOUR);
        works(&backend);
        let before = server.commands();
        server.pause();
        let mut calls: Vec<_> = (0..32)
            .map(|_| {
                let backend = Arc::clone(&backend);
                Box::pin(async move { backend.incr("n", MINUTE).await })
            })
            .collect();
        for call in &mut calls {
            assert!(poll_once(call.as_mut()).is_none());
        }
        server.wait_for_commands(before + 1);
        server.resume();
        for call in calls {
            assert_eq!(block_on(call).unwrap(), 1);
        }
        assert_eq!((server.commands() - before, server.connections()), (32, 1));
    });
}

/// A call that runs out of time while others are answered is slow, and the server is there: the connection stays. How long is
/// long enough for the machine is found out.
#[test]
fn a_slow_command_takes_no_connection_along() {
    ends(|| {
        let budgets = (5..).map(|power| Duration::from_millis(1 << power));
        for budget in budgets.take(14) {
            let server = Scripted::start(|asked| match asked.words[1].as_str() {
                "cache:slow" => Reply::Silence,
                _ => Reply::well(asked),
            });
            let backend = on(server.url(), budget);
            works(&backend);
            let connections = server.connections();
            // Held back, and answered when the slow one is on its way.
            server.pause();
            let mut quick = get(&backend);
            let mut slow = Box::pin(backend.get::<u8>("slow"));
            let begun = (poll_once(quick.as_mut()), poll_once(slow.as_mut()));
            server.resume();
            let quick = block_on(quick);
            let slow = block_on(slow);
            if !matches!(begun, (None, None)) || quick.is_err() {
                // The machine was slower than this.
                continue;
            }
            assert!(slow.unwrap_err().is_timeout());
            // Whatever becomes of the next call, it comes by the connection that there is.
            let _ = block_on(backend.get::<u8>("k"));
            assert_eq!(server.connections(), connections);
            return;
        }
        panic!("a machine that is this slow tells nothing");
    });
}

/// The first sentinel says nothing: it may take a part of the budget only, and the next is asked.
#[test]
fn a_sentinel_that_is_silent() {
    ends(|| {
        let server = Scripted::start(|asked| match asked.name() {
            "ROLE" => Reply::list(&["master"]),
            _ => Reply::well(asked),
        });
        let port = server.port().to_string();
        let silent = Scripted::well();
        silent.pause();
        let names = Scripted::start(move |_| Reply::list(&["127.0.0.1", &port]));
        let (silent, names) = (silent.address(), names.address());
        let backend = on(
            format!("redis+sentinel://{silent},{names}/main"),
            6 * MOMENT,
        );
        works(&backend);
    });
}
