//! A backend that is used outside of runtimes, on runtimes that end, and on many of them at once.

use crate::scripted::{Reply, Scripted, ScriptedCluster};
use crate::server::{Server, shared_cluster, wait_until};
use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{CacheBackend, CacheBackendExt, RedisCacheBackend, Ttl};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const MINUTE: Duration = Duration::from_secs(60);

fn on(url: impl Into<String>) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(MINUTE);
    Arc::new(builder.build().unwrap())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// The backend works on a runtime that is like new.
fn works(backend: &Arc<RedisCacheBackend>) {
    let backend = Arc::clone(backend);
    ends(move || {
        runtime().block_on(async {
            backend.set("works", 1, Ttl::Never).await.unwrap();
            assert_eq!(backend.get::<u8>("works").await.unwrap(), Some(1));
        });
    });
}

#[test]
fn outside_of_any_runtime() {
    let server = Server::start();
    let backend = on(server.url());
    let outside = Arc::clone(&backend);
    ends(move || {
        block_on(outside.set("k", 1, Ttl::Never)).unwrap();
        assert_eq!(block_on(outside.incr("k", Ttl::Never)).unwrap(), 2);
        let entries = [("a", 1), ("b", 2)];
        block_on(outside.set_many(entries, Ttl::Never)).unwrap();
        block_on(outside.verify()).unwrap();
        block_on(outside.flush()).unwrap();
        assert_eq!(block_on(outside.get::<u8>("a")).unwrap(), None);
    });
    works(&backend);
}

#[test]
fn a_cluster_outside_of_any_runtime() {
    let builder = RedisCacheBackend::builder().url(shared_cluster().url());
    let builder = builder.prefix("outside:").timeout(MINUTE);
    let backend = Arc::new(builder.build().unwrap());
    let outside = Arc::clone(&backend);
    ends(move || {
        let keys: Vec<String> = (0..100).map(|nth| format!("k{nth}")).collect();
        let entries = keys.iter().map(|key| (key.as_str(), 1));
        block_on(outside.set_many(entries, Ttl::Never)).unwrap();
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(block_on(outside.delete_many(&names)).unwrap(), 100);
        block_on(outside.flush()).unwrap();
    });
    works(&backend);
}

/// On a runtime without timers and I/O.
#[test]
fn on_a_bare_runtime() {
    let server = Server::start();
    let backend = on(server.url());
    let bare = Arc::clone(&backend);
    ends(move || {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(bare.set("k", 1, Ttl::Never)).unwrap();
    });
    works(&backend);
}

/// Writes when it is dropped.
struct Guard(
    Arc<RedisCacheBackend>,
    mpsc::Sender<Result<(), nori_cache::Error>>,
);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.1.send(block_on(self.0.set("guard", 1, Ttl::Never)));
    }
}

/// A task holds a guard that writes when it is dropped, which is while its runtime shuts down.
fn a_guard_on(build: fn() -> Runtime, connect_first: bool) {
    let server = Server::start();
    let backend = on(server.url());
    let (sender, written) = mpsc::channel();
    let guard = Guard(Arc::clone(&backend), sender);
    let first = Arc::clone(&backend);
    ends(move || {
        let runtime = build();
        runtime.block_on(async {
            if connect_first {
                first.set("k", 1, Ttl::Never).await.unwrap();
            }
            tokio::spawn(async move {
                let _guard = guard;
                std::future::pending::<()>().await;
            });
            tokio::task::yield_now().await;
        });
        drop(runtime);
    });
    written.recv().unwrap().unwrap();
    works(&backend);
    assert_eq!(server.ask(&["GET", "cache:guard"]), "1");
}

#[test]
fn a_guard_that_writes_while_its_runtime_shuts_down() {
    a_guard_on(runtime, false);
    a_guard_on(runtime, true);
    let threads = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    };
    a_guard_on(threads, false);
    a_guard_on(threads, true);
}

#[test]
fn on_a_runtime_that_has_ended() {
    let server = Server::start();
    let backend = on(server.url());
    for connected in [false, true] {
        let late = Arc::clone(&backend);
        ends(move || {
            let runtime = runtime();
            let handle = runtime.handle().clone();
            if connected {
                runtime.block_on(late.set("k", 1, Ttl::Never)).unwrap();
            }
            drop(runtime);
            handle.block_on(late.set("k", 2, Ttl::Never)).unwrap();
            let _inside = handle.enter();
            assert_eq!(block_on(late.get::<u8>("k")).unwrap(), Some(2));
        });
        works(&backend);
    }
}

/// A runtime that made the connection is there, but nobody drives it.
#[test]
fn a_runtime_that_stands_still_holds_nobody_up() {
    let server = Server::start();
    let backend = on(server.url());
    let first = runtime();
    first.block_on(backend.set("k", 1, Ttl::Never)).unwrap();
    works(&backend);
    first.block_on(backend.set("k", 2, Ttl::Never)).unwrap();
}

/// The runtime that made the connection ends while the write of another is under way on it.
#[test]
fn a_connection_outlives_the_runtime_that_made_it() {
    let (asked, is_asked) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let may_go = Mutex::new(may_go);
    let server = Scripted::start(move |asking| match asking.name() {
        "GET" => Reply::nil(),
        _ => {
            asked.send(()).unwrap();
            may_go.lock().unwrap().recv().unwrap();
            Reply::ok()
        }
    });
    let backend = on(server.url());
    let first = runtime();
    let nothing = first.block_on(backend.get::<u8>("k"));
    assert_eq!(nothing.unwrap(), None);
    let other = Arc::clone(&backend);
    let writer = thread::spawn(move || runtime().block_on(other.set("k", 1, Ttl::Never)));
    is_asked.recv().unwrap();
    drop(first);
    go.send(()).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(server.connections(), 1);
}

/// A runtime ends in the middle of a call of its own: nobody else notices.
#[test]
fn a_call_that_ends_with_its_runtime() {
    let (asked, is_asked) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let may_go = Mutex::new(may_go);
    let server = Scripted::start(move |asking| {
        if asking.name() == "SET" {
            asked.send(()).unwrap();
            may_go.lock().unwrap().recv().unwrap();
            return Reply::ok();
        }
        Reply::nil()
    });
    let backend = on(server.url());
    let calls = Arc::clone(&backend);
    let mut builder = Builder::new_multi_thread();
    let first = builder.worker_threads(1).enable_all().build().unwrap();
    first.spawn(async move { calls.set("k", 1, Ttl::Never).await });
    is_asked.recv().unwrap();
    ends(move || drop(first));
    let second = thread::spawn({
        let backend = Arc::clone(&backend);
        move || runtime().block_on(backend.get::<u8>("other"))
    });
    go.send(()).unwrap();
    assert_eq!(second.join().unwrap().unwrap(), None);
    assert_eq!(server.connections(), 1);
}

/// Somebody begins a call that has to ask the cluster first, and does not poll it on: others are not kept from knowing.
#[test]
fn a_call_that_stands_still_while_the_cluster_is_asked() {
    let cluster = ScriptedCluster::start(1, |_, _| Reply::nil());
    let backend = on(cluster.url());
    let mut begun = pin!(backend.get::<u8>("k"));
    assert!(poll_once(begun.as_mut()).is_none());
    let other = Arc::clone(&backend);
    let answer = ends(move || block_on(other.get::<u8>("other")));
    assert_eq!(answer.unwrap(), None);
}

/// Short runtimes, many at a time and one after the other, that share a backend: as tests do.
#[test]
fn short_runtimes_share_a_backend() {
    const THREADS: u64 = 12;
    const EACH: u64 = 20;
    let server = Server::start();
    let backend = on(server.url());
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let backend = Arc::clone(&backend);
            thread::spawn(move || {
                for round in 0..EACH {
                    let key = format!("{thread}:{round}");
                    runtime().block_on(async {
                        for n in 0..5 {
                            backend.set(&key, n, Ttl::Never).await.unwrap();
                            assert_eq!(backend.get::<u64>(&key).await.unwrap(), Some(n));
                            backend.incr("all", Ttl::Never).await.unwrap();
                        }
                        let entries = [(key.as_str(), 7_u64), ("other", 1)];
                        backend.set_many(entries, Ttl::Never).await.unwrap();
                    });
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(
        server.ask(&["GET", "cache:all"]),
        (THREADS * EACH * 5).to_string()
    );
    // One of the backend's for all 240 runtimes, and those that this test asks with.
    let clients = server.ask(&["CLIENT", "LIST"]);
    let ours = clients.lines().filter(|line| line.contains("resp=3"));
    assert_eq!(ours.count(), 1, "{clients}");
}

/// The clock of the caller's runtime stands still, and jumps whenever the runtime has nothing to do.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_ends_no_call() {
    let server = Server::start();
    let backend = on(server.url());
    for nth in 1..=50 {
        assert_eq!(backend.incr("n", Ttl::Never).await.unwrap(), nth);
    }
}

/// The thread that drives the connections ends with the last backend, and comes back with the next.
#[test]
fn backends_come_and_go() {
    let server = Server::start();
    for nth in 1..=20 {
        let backend = on(server.url());
        let count = async {
            let n = backend.incr("n", Ttl::Never).await;
            assert_eq!(n.unwrap(), nth);
        };
        block_on(count);
        drop(backend);
    }
    wait_until("no connection is left", || {
        let clients = server.ask(&["CLIENT", "LIST"]);
        !clients.contains("resp=3")
    });
}

/// Polls a future so many times, and drops it then.
async fn polled_times(times: usize, call: impl Future<Output = ()>) {
    let mut call = pin!(call);
    let mut left = times;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        call.as_mut().poll(context)
    })
    .await;
}

/// Callers leave wherever they wait: before the connection is made, before the answer, in the middle of a flush.
#[test]
fn calls_that_are_dropped_at_any_point() {
    let server = Server::start();
    let last = ends(move || {
        let mut last = on(server.url());
        for times in 0..24 {
            // Each has to connect first.
            let backend = on(server.url());
            let call = async {
                backend.set("k", 1, Ttl::Never).await.unwrap();
                let entries = [("a", 1), ("b", 2)];
                backend.set_many(entries, Ttl::Never).await.unwrap();
                backend.incr("n", Ttl::Never).await.unwrap();
                let load = async || Ok::<u8, nori_cache::Error>(1);
                backend.get_or_load("l", Ttl::Never, load).await.unwrap();
                let update = async |n: Option<u8>| n.unwrap_or(0);
                backend.atomic_update("u", None, update).await.unwrap();
                backend.flush().await.unwrap();
                backend.close().await.unwrap();
            };
            block_on(polled_times(times, call));
            let again = async {
                let load = async || Ok::<u8, nori_cache::Error>(1);
                let update = async |n: Option<u8>| n.unwrap_or(0);
                match backend.get_or_load("l", Ttl::Never, load).await {
                    Ok(_) => drop(backend.atomic_update("u", None, update).await.unwrap()),
                    // It got to the end.
                    Err(error) => assert!(error.is_closed(), "{error}"),
                }
                let flights = format!("{:?}", backend.flights());
                assert_eq!(flights, "Flights { loads: 0, updates: 0 }");
            };
            block_on(again);
            last = backend;
        }
        drop(server);
        last
    });
    drop(last);
}
