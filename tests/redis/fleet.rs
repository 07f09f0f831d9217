//! One load for all processes. Backends of this process stand for processes: they share nothing but the server.
//!
//! A lease of an hour is one that must not end by itself.

use crate::server::{Server, free_port, shared_cluster};
use nori_cache::{
    CacheBackend, CacheBackendExt, Coherence, Error, LoadContext, MemoryCacheBackend, Operation,
    Outcome, RedisCacheBackend, RedisCacheBackendBuilder, TieredCacheBackend, Ttl,
};
use std::future::{Ready, pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);

type Process = Arc<dyn CacheBackend>;

/// A budget that holds on a busy machine, too.
fn redis(url: &str) -> RedisCacheBackendBuilder {
    RedisCacheBackend::builder().url(url).timeout(MINUTE)
}

fn plain(url: &str) -> Process {
    Arc::new(redis(url).build().unwrap())
}

fn tiers(url: &str, coherence: Coherence) -> Process {
    let tiers = TieredCacheBackend::builder().redis(redis(url));
    Arc::new(tiers.coherence(coherence).build().unwrap())
}

type Kind = (&'static str, fn(&str) -> Process);

const KINDS: [Kind; 5] = [
    ("plain", plain),
    ("tracking", |url| tiers(url, Coherence::Tracking)),
    ("broadcast", |url| tiers(url, Coherence::Broadcast)),
    ("backplane", |url| tiers(url, Coherence::Backplane)),
    ("near-ttl", |url| tiers(url, Coherence::NearTtl)),
];

/// Whether who waits for a lease is told of what becomes of it.
fn is_told(kind: &str) -> bool {
    ["tracking", "broadcast", "backplane"].contains(&kind)
}

fn gets(value: u64) -> impl FnOnce(LoadContext<u64>) -> Ready<Result<u64, Error>> + Send + 'static {
    move |_| ready(Ok(value))
}

/// A loader that says when it runs, and ends when it is told to.
#[derive(Clone)]
struct Gate {
    running: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn new() -> Self {
        let closed = || Arc::new(Semaphore::new(0));
        Self {
            running: closed(),
            open: closed(),
        }
    }

    async fn pass(self, value: u64) -> Result<u64, Error> {
        self.running.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        Ok(value)
    }

    async fn is_reached(&self) {
        self.running.acquire().await.unwrap().forget();
    }

    fn open(&self) {
        self.open.add_permits(1);
    }
}

/// A load of the fleet's with this lease, in a task of its own.
fn loading(
    process: &Process,
    key: &str,
    lease: Duration,
    gate: &Gate,
    value: u64,
) -> JoinHandle<(u64, Outcome)> {
    let (process, key, gate) = (process.clone(), key.to_owned(), gate.clone());
    tokio::spawn(async move {
        let load = process.load(&key).fleet_single_flight().fleet_lease(lease);
        let answer = load
            .answer_or_load(move |_| gate.pass(value))
            .await
            .unwrap();
        (*answer.value(), answer.outcome().clone())
    })
}

/// What the process asked about leases so far.
fn asked(process: &Process) -> u64 {
    process.stats()[Operation::CompareAndSet].calls
}

/// Until the process has been told that another has the lease, once at least.
async fn waits(process: &Process) {
    while asked(process) < 2 {
        tokio::time::sleep(POLITE).await;
    }
}

async fn stored(process: &Process, key: &str) -> Option<u64> {
    let value = process.latest_value(key).await.unwrap();
    value.map(|value| value.to().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_processes_load_a_cold_key_once() {
    const PROCESSES: u64 = 16;
    const LOADS: u64 = 1_000;
    for (kind, process) in KINDS {
        let server = Server::start();
        let processes: Vec<Process> = (0..PROCESSES).map(|_| process(&server.url())).collect();
        let (begun, runs) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut loads = JoinSet::new();
        for process in &processes {
            for _ in 0..LOADS {
                let (process, begun, runs) = (process.clone(), begun.clone(), runs.clone());
                loads.spawn(async move {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let load = process.load("cold").ttl(HOUR).fleet_single_flight();
                    let load = load.fleet_lease(HOUR);
                    let answer = load.answer_or_load(move |_| async move {
                        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
                        while begun.load(Ordering::SeqCst) < PROCESSES * LOADS {
                            tokio::time::sleep(POLITE).await;
                        }
                        Ok::<_, Error>(run)
                    });
                    let answer = answer.await.unwrap();
                    (*answer.value(), matches!(answer.outcome(), Outcome::Loaded))
                });
            }
        }
        let mut loaded = 0;
        while let Some(load) = loads.join_next().await {
            let (value, is_loaded) = load.unwrap();
            assert_eq!(value, 1, "{kind}");
            loaded += u64::from(is_loaded);
        }
        assert_eq!((runs.load(Ordering::SeqCst), loaded), (1, 1), "{kind}");
        // The lease is gone.
        assert_eq!(server.ask(&["DBSIZE"]), "1", "{kind}");
    }
}

#[tokio::test]
async fn who_waits_gets_what_another_process_stores() {
    for (kind, process) in KINDS {
        let server = Server::start();
        let (here, there) = (process(&server.url()), process(&server.url()));
        let (gate, never) = (Gate::new(), Gate::new());
        let leads = loading(&here, "k", HOUR, &gate, 1);
        gate.is_reached().await;
        let started = Instant::now();
        let follows = loading(&there, "k", HOUR, &never, 2);
        if is_told(kind) {
            while asked(&there) < 1 || started.elapsed() < 500 * MS {
                tokio::time::sleep(POLITE).await;
            }
        } else {
            waits(&there).await;
        }
        gate.open();
        assert!(matches!(leads.await.unwrap(), (1, Outcome::Loaded)));
        let (value, outcome) = follows.await.unwrap();
        assert!(
            value == 1 && matches!(outcome, Outcome::Coalesced),
            "{kind}"
        );
        assert_eq!(never.running.available_permits(), 0, "{kind}");
        if is_told(kind) {
            // It was told, and has asked but once a second.
            let most = 4 + started.elapsed().as_secs();
            assert!(asked(&there) <= most, "{kind}: {}", asked(&there));
        }
    }
}

#[tokio::test]
async fn a_leader_that_is_dropped_or_fails_hands_over_before_its_lease_ends() {
    for (kind, process) in KINDS {
        let server = Server::start();
        let (here, there) = (process(&server.url()), process(&server.url()));
        for fails in [false, true] {
            let key = format!("{fails}");
            let gate = Gate::new();
            let leads = tokio::spawn({
                let (here, key, gate) = (here.clone(), key.clone(), gate.clone());
                async move {
                    let load = here.load(&key).fleet_single_flight().fleet_lease(HOUR);
                    load.or_load(move |_| async move {
                        gate.pass(0).await?;
                        Err::<u64, Error>(Error::encoding("no".to_owned()))
                    })
                    .await
                }
            });
            gate.is_reached().await;
            let next = Gate::new();
            next.open();
            let before = asked(&there);
            let follows = loading(&there, &key, HOUR, &next, 2);
            while asked(&there) == before {
                tokio::time::sleep(POLITE).await;
            }
            if fails {
                gate.open();
                assert!(leads.await.unwrap().is_err());
            } else {
                leads.abort();
            }
            assert!(
                matches!(follows.await.unwrap(), (2, Outcome::Loaded)),
                "{kind}"
            );
            assert_eq!(stored(&here, &key).await, Some(2), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_leader_whose_process_ends_is_replaced_when_its_lease_ends() {
    for (kind, process) in KINDS {
        let server = Server::start();
        let (here, there) = (process(&server.url()), process(&server.url()));
        let gate = Gate::new();
        let leads = tokio::spawn({
            let (here, gate) = (here.clone(), gate.clone());
            async move {
                let load = here.load("k").fleet_single_flight().fleet_lease(100 * MS);
                load.answer_or_load(move |_| gate.pass(1)).await
            }
        });
        gate.is_reached().await;
        here.close().await.unwrap();
        let next = Gate::new();
        next.open();
        let follows = loading(&there, "k", HOUR, &next, 2);
        assert!(
            matches!(follows.await.unwrap(), (2, Outcome::Loaded)),
            "{kind}"
        );
        gate.open();
        let late = leads.await.unwrap().unwrap();
        assert!(late.store_error().is_some_and(Error::is_closed), "{kind}");
        assert_eq!(stored(&there, "k").await, Some(2), "{kind}");
    }
}

/// While its loader runs a leader keeps its lease, however short that is.
#[tokio::test]
async fn a_lease_is_renewed_while_the_loader_runs() {
    let server = Server::start();
    let (here, there) = (plain(&server.url()), plain(&server.url()));
    for power in 0.. {
        let key = format!("k{power}");
        let (gate, second) = (Gate::new(), Gate::new());
        second.open();
        let before = asked(&here);
        let leads = loading(&here, &key, MS * (1_500 << power), &gate, 1);
        gate.is_reached().await;
        let follows = loading(&there, &key, HOUR, &second, 2);
        // The first is to take it; each other one renews it.
        while asked(&here) < before + 6 && !follows.is_finished() {
            tokio::time::sleep(POLITE).await;
        }
        gate.open();
        assert_eq!(leads.await.unwrap().0, 1);
        if follows.await.unwrap().0 == 1 {
            return;
        }
        // This machine has stood still for longer than that.
    }
}

/// A leader stands still until its lease is over, another loads, and what that one stored is deleted: nothing is there as nothing was
/// there before, and yet the first one does not store.
#[tokio::test]
async fn a_leader_that_comes_back_does_not_store() {
    let server = Server::start();
    let (url, there) = (server.url(), plain(&server.url()));
    let (running, runs) = mpsc::channel();
    let (resume, resumed) = mpsc::channel::<()>();
    let stalled = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let here = plain(&url);
            let load = here.load("k").fleet_single_flight().fleet_lease(50 * MS);
            let answer = load.answer_or_load(move |_| async move {
                running.send(()).unwrap();
                // Blocks the runtime: nothing is renewed.
                resumed.recv().unwrap();
                Ok::<_, Error>(1_u64)
            });
            let answer = answer.await.unwrap();
            (*answer.value(), answer.outcome().clone())
        })
    });
    runs.recv().unwrap();
    let next = Gate::new();
    next.open();
    let follows = loading(&there, "k", HOUR, &next, 2);
    assert!(matches!(follows.await.unwrap(), (2, Outcome::Loaded)));
    assert!(there.delete("k").await.unwrap());
    resume.send(()).unwrap();
    assert!(matches!(stalled.join().unwrap(), (1, Outcome::Loaded)));
    assert_eq!(stored(&there, "k").await, None);
}

const WRITES: [&str; 7] = [
    "set",
    "delete",
    "delete_many",
    "flush",
    "set for no time",
    "set many for no time",
    "set and removed",
];

async fn write(process: &Process, key: &str, how: &str) {
    let zero = Ttl::After(Duration::ZERO);
    match how {
        "set" => process.set(key, 7, Ttl::Never).await.unwrap(),
        "delete" => assert!(!process.delete(key).await.unwrap()),
        "delete_many" => {
            let keys = [key, "another"];
            assert_eq!(process.delete_many(&keys).await.unwrap(), 0);
        }
        "flush" => process.flush().await.unwrap(),
        "set for no time" => process.set(key, 7, zero).await.unwrap(),
        "set many for no time" => process.set_many([(key, 7)], zero).await.unwrap(),
        _ => {
            process.set(key, 7, Ttl::Never).await.unwrap();
            let there = process.latest_value(key).await.unwrap().unwrap();
            let new = there.clone();
            let removed = process.compare_and_set(key, Some(&there), new, Some(zero));
            assert!(removed.await.unwrap());
        }
    }
}

async fn a_write_wins(processes: [&Process; 3], key: &str, how: &str) {
    let [leads, writes, next] = processes;
    let gate = Gate::new();
    let leading = loading(leads, key, HOUR, &gate, 1);
    gate.is_reached().await;
    write(writes, key, how).await;
    let expected = (how == "set").then_some(7);
    // Nobody waits for a load that began before a removal.
    let during = (how != "set").then(|| {
        let gate = Gate::new();
        let loading = loading(next, key, HOUR, &gate, 2);
        (gate, loading)
    });
    if let Some((gate, _)) = &during {
        gate.is_reached().await;
    }
    gate.open();
    assert!(
        matches!(leading.await.unwrap(), (1, Outcome::Loaded)),
        "{how}"
    );
    assert_eq!(stored(writes, key).await, expected, "{how} {key}");
    if let Some((gate, loading)) = during {
        gate.open();
        assert!(
            matches!(loading.await.unwrap(), (2, Outcome::Loaded)),
            "{how}"
        );
        assert_eq!(stored(writes, key).await, Some(2), "{how} {key}");
    }
    writes.delete(key).await.unwrap();
}

#[tokio::test]
async fn what_another_process_writes_wins_over_the_load() {
    for (kind, process) in KINDS {
        let server = Server::start();
        let [a, b, c] = [(); 3].map(|()| process(&server.url()));
        for how in WRITES {
            a_write_wins([&a, &b, &c], kind, how).await;
        }
        assert_eq!(server.ask(&["DBSIZE"]), "0", "{kind}");
    }
}

/// Whatever braces are in prefixes and keys, a lease is where its value is, and what removes the one removes the other.
#[tokio::test]
async fn on_a_cluster() {
    let cluster = shared_cluster();
    let keys = ["k", "{a}b", "a{b", "}{", "{}x", "a}b{c}", "", "ü"];
    for prefix in ["fleet:", "fleet{", "{fleet}:", "fleet{}:", "fleet}:"] {
        let process =
            || -> Process { Arc::new(redis(&cluster.url()).prefix(prefix).build().unwrap()) };
        let [a, b, c] = [(); 3].map(|()| process());
        for key in keys {
            let (gate, never) = (Gate::new(), Gate::new());
            let leads = loading(&a, key, HOUR, &gate, 1);
            gate.is_reached().await;
            let before = asked(&b);
            let follows = loading(&b, key, HOUR, &never, 2);
            while asked(&b) == before {
                tokio::time::sleep(POLITE).await;
            }
            gate.open();
            assert_eq!(leads.await.unwrap().0, 1, "{prefix}{key}");
            assert_eq!(follows.await.unwrap().0, 1, "{prefix}{key}");
            a.delete(key).await.unwrap();
            for how in [
                "delete",
                "delete_many",
                "set for no time",
                "set many for no time",
            ] {
                a_write_wins([&a, &b, &c], key, how).await;
            }
        }
        for how in WRITES {
            a_write_wins([&a, &b, &c], "all", how).await;
        }
    }
    let kinds = KINDS.into_iter().filter(|(kind, _)| *kind != "plain");
    for (kind, process) in kinds {
        let [a, b, c] = [(); 3].map(|()| process(&cluster.url()));
        for how in ["set", "delete", "delete_many"] {
            a_write_wins([&a, &b, &c], kind, how).await;
        }
    }
}

#[tokio::test]
async fn what_has_expired_is_loaded_by_one_and_serves_all_when_that_takes_too_long() {
    let server = Server::start();
    let (here, there) = (plain(&server.url()), plain(&server.url()));
    let load = here.load("k").ttl(MS).fail_safe(HOUR);
    load.or_load(gets(1)).await.unwrap();
    while here.get::<u64>("k").await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    let gate = Gate::new();
    let leads = tokio::spawn({
        let (here, gate) = (here.clone(), gate.clone());
        async move {
            let load = here.load("k").fleet_single_flight().fleet_lease(HOUR);
            let load = load.ttl(HOUR).fail_safe(HOUR);
            load.or_load(move |_| gate.pass(2)).await
        }
    });
    gate.is_reached().await;
    // It is taken too long for here, and there is something to go away with.
    let load = there.load("k").fleet_single_flight().fail_safe(HOUR);
    let answer = load.hard_timeout(20 * MS).answer_or_load(gets(3));
    let answer = answer.await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::FailSafe(error) if error.is_timeout()));
    assert_eq!(answer.into_value(), 1);
    gate.open();
    assert_eq!(leads.await.unwrap().unwrap(), 2);
    let load = there.load("k").fleet_single_flight().fail_safe(HOUR);
    assert_eq!(load.or_load(gets(3)).await.unwrap(), 2);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_hard_timeout_or_the_patience() {
    let server = Server::start();
    let here = plain(&server.url());
    let there: Process = Arc::new(redis(&server.url()).patience(20 * MS).build().unwrap());
    let gate = Gate::new();
    let leads = loading(&here, "k", HOUR, &gate, 1);
    gate.is_reached().await;
    let load = there.load("k").fleet_single_flight();
    let error = load.or_load(gets(2)).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    let load = there.load("k").fleet_single_flight().hard_timeout(5 * MS);
    let error = load.or_load(gets(2)).await.unwrap_err();
    assert!(error.is_timeout(), "{error}");
    leads.abort();
}

#[tokio::test]
async fn without_a_store_or_without_leases_it_is_a_load_of_this_process() {
    let nobody = redis(&format!("redis://127.0.0.1:{}", free_port()));
    let down: Process = Arc::new(nobody.build().unwrap());
    let load = down.load("k").fleet_single_flight();
    let answer = load.answer_or_load(gets(1)).await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::Loaded));
    assert!(answer.store_error().is_some_and(Error::is_connection));

    let memory = Arc::new(MemoryCacheBackend::new(10));
    let load = memory.load("k").fleet_single_flight();
    assert_eq!(load.or_load(gets(1)).await.unwrap(), 1);
    assert_eq!(memory.get::<u64>("k").await.unwrap(), Some(1));

    // A user who may not run scripts.
    let server = Server::start();
    let rules = ["on", ">secret", "~*", "+@all", "-@scripting"];
    server.ask(&[&["ACL", "SETUSER", "ana"], &rules[..]].concat());
    let url = format!("redis://ana:secret@127.0.0.1:{}", server.port);
    let load = plain(&url);
    let load = load.load("k").fleet_single_flight();
    let answer = load.answer_or_load(gets(1)).await.unwrap();
    assert!(answer.store_error().is_some_and(Error::is_rejected));
}

#[tokio::test]
async fn a_lease_is_ten_milliseconds_to_a_day() {
    let memory = Arc::new(MemoryCacheBackend::new(10));
    for (lease, is_allowed) in [
        (9 * MS, false),
        (10 * MS, true),
        (24 * HOUR, true),
        (24 * HOUR + MS, false),
    ] {
        let load = memory.load("k").fleet_lease(lease).or_load(gets(1));
        let checked = load.await.map_err(|error| error.is_invalid_config());
        assert_eq!(
            checked,
            if is_allowed { Ok(1) } else { Err(true) },
            "{lease:?}"
        );
    }
}

/// A user's own codec, seen through a view.
#[tokio::test]
async fn through_a_view() {
    let server = Server::start();
    let (here, there) = (plain(&server.url()), plain(&server.url()));
    let codec = nori_cache::Codec::bytes();
    let bytes = |_: LoadContext<Vec<u8>>| ready(Ok::<_, Error>(b"1".to_vec()));
    let here = here.with_codec(&codec);
    let load = here.load_scoped("k").fleet_single_flight();
    assert_eq!(load.or_load(bytes).await.unwrap(), b"1");
    let there = there.with_codec(&codec);
    let load = there.load_scoped("k").fleet_single_flight();
    let answer = load.answer_or_load(|_| pending::<Result<Vec<u8>, Error>>());
    let answer = answer.await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::Hit));
    assert_eq!(answer.into_value(), b"1");
}
