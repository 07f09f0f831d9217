//! Spans of calls on Redis, of loads and of attempts to connect, and what is told of breakers.

use crate::listening::{another, listen};
use crate::scripted::{Reply, Scripted, ScriptedCluster};
use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{
    CacheBackend, CacheBackendExt, Error, ManualClock, MemoryCacheBackend, RedisCacheBackend,
    RedisCacheBackendBuilder, Ttl,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::ready;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ThreadId, sleep};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::set_global_default;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_core::span::Current;

const HOUR: Duration = Duration::from_secs(3600);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);

/// A span, or an event.
#[derive(Debug, Clone)]
struct Seen {
    metadata: &'static Metadata<'static>,
    fields: BTreeMap<&'static str, String>,
    /// The span around it.
    parent: Option<usize>,
    /// Handles to it.
    handles: usize,
}

impl Seen {
    fn name(&self) -> &str {
        match self.fields.get("message") {
            Some(message) => message,
            None => self.metadata.name(),
        }
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// Keeps all that is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    inside: HashMap<ThreadId, Vec<usize>>,
}

struct Fields<'f>(&'f mut BTreeMap<&'static str, String>);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

fn number(id: &Id) -> usize {
    id.into_u64() as usize - 1
}

impl Told {
    fn add(&self, metadata: &'static Metadata<'static>, parent: Parent<'_>) -> usize {
        let mut state = self.0.lock().unwrap();
        let inside = state.inside.get(&thread::current().id());
        let parent = match parent {
            Parent::Root => None,
            Parent::Contextual => inside.and_then(|inside| inside.last().copied()),
            Parent::Explicit(id) => id.map(number),
        };
        state.seen.push(Seen {
            metadata,
            fields: BTreeMap::new(),
            parent,
            handles: 1,
        });
        state.seen.len() - 1
    }

    fn change<R>(&self, number: usize, change: impl FnOnce(&mut Seen) -> R) -> R {
        change(&mut self.0.lock().unwrap().seen[number])
    }

    fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap().seen.clone()
    }

    /// What this names the server at a port in.
    fn at(&self, port: u16) -> Vec<Seen> {
        let server = format!("127.0.0.1:{port}");
        let mut all = self.all();
        let is_at = |seen: &Seen| {
            seen.field("server.port") == port.to_string() || seen.field("server") == server
        };
        all.retain(is_at);
        all
    }
}

enum Parent<'p> {
    Root,
    Contextual,
    Explicit(Option<&'p Id>),
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "nori_cache::backend"
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let parent = if span.is_root() {
            Parent::Root
        } else if span.is_contextual() {
            Parent::Contextual
        } else {
            Parent::Explicit(span.parent())
        };
        let number = self.add(span.metadata(), parent);
        self.change(number, |seen| span.record(&mut Fields(&mut seen.fields)));
        Id::from_u64(number as u64 + 1)
    }
    fn record(&self, id: &Id, values: &Record<'_>) {
        self.change(number(id), |seen| {
            values.record(&mut Fields(&mut seen.fields))
        });
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let number = self.add(event.metadata(), Parent::Contextual);
        self.change(number, |seen| event.record(&mut Fields(&mut seen.fields)));
    }
    fn enter(&self, id: &Id) {
        let mut state = self.0.lock().unwrap();
        let inside = state.inside.entry(thread::current().id()).or_default();
        inside.push(number(id));
    }
    fn exit(&self, id: &Id) {
        let mut state = self.0.lock().unwrap();
        let inside = state.inside.entry(thread::current().id()).or_default();
        assert_eq!(
            inside.pop(),
            Some(number(id)),
            "spans are left in another order"
        );
    }
    fn clone_span(&self, id: &Id) -> Id {
        self.change(number(id), |seen| seen.handles += 1);
        id.clone()
    }
    fn try_close(&self, id: Id) -> bool {
        self.change(number(&id), |seen| {
            seen.handles -= 1;
            seen.handles == 0
        })
    }
    fn current_span(&self) -> Current {
        let state = self.0.lock().unwrap();
        let inside = state.inside.get(&thread::current().id());
        match inside.and_then(|inside| inside.last()) {
            Some(number) => {
                let id = Id::from_u64(*number as u64 + 1);
                Current::new(id, state.seen[*number].metadata)
            }
            None => Current::none(),
        }
    }
}

/// For what is told on threads that are not a test's. A test asks for what concerns its own server.
fn everywhere() -> Told {
    static TOLD: OnceLock<(Told, Dispatch)> = OnceLock::new();
    let (told, _) = TOLD.get_or_init(|| {
        let (told, another) = (Told::default(), another());
        set_global_default(told.clone()).expect("nobody else does");
        (told, another)
    });
    told.clone()
}

fn on(url: impl Into<String>) -> RedisCacheBackendBuilder {
    RedisCacheBackend::builder().url(url).timeout(HOUR)
}

#[test]
fn each_call_on_redis_is_a_span_of_a_database_client() {
    let told = everywhere();
    ends(move || {
        let server = Scripted::well();
        let backend = on(server.url()).build().unwrap();
        block_on(async {
            backend.get::<u8>("secret-key").await.unwrap();
            backend.get_many::<u8>(&["a", "b", "c"]).await.unwrap();
            backend.set("a", 1, Ttl::Never).await.unwrap();
            backend
                .set_many([("a", 1), ("b", 2)], Ttl::Never)
                .await
                .unwrap();
            backend.delete("a").await.unwrap();
            backend.delete_many(&["a", "b"]).await.unwrap();
            backend.incr("a", Ttl::Never).await.unwrap();
            backend.ttl("a").await.unwrap();
            backend.verify().await.unwrap();
            backend.flush().await.unwrap();
            let one = async |n: Option<u8>| n.unwrap_or(0);
            backend.atomic_update("a", None, one).await.unwrap();
        });
        let all = told.at(server.port());
        let calls: Vec<&Seen> = all.iter().filter(|seen| seen.name() == "call").collect();
        let said: Vec<[&str; 3]> = calls
            .iter()
            .map(|seen| {
                [
                    "nori_cache.operation",
                    "db.operation.name",
                    "db.operation.batch.size",
                ]
                .map(|name| seen.field(name))
            })
            .collect();
        assert_eq!(
            said,
            [
                ["get", "GET", ""],
                ["get_many", "MGET", "3"],
                ["set", "SET", ""],
                ["set_many", "PIPELINE SET", "2"],
                ["delete", "UNLINK", ""],
                ["delete_many", "UNLINK", "2"],
                ["incr", "EVALSHA", ""],
                ["ttl", "PTTL", ""],
                ["verify", "PING", ""],
                ["flush", "SCAN", ""],
                ["get", "GET", ""],
                ["compare_and_set", "EVALSHA", ""],
            ]
        );
        for call in calls {
            for (field, value) in [
                ("otel.kind", "client"),
                ("otel.name", call.field("db.operation.name")),
                ("db.system.name", "redis"),
                ("server.address", "127.0.0.1"),
                ("error.type", ""),
                ("otel.status_code", ""),
            ] {
                assert_eq!(call.field(field), value, "{call:?}");
            }
            assert_eq!(call.handles, 0, "it has not ended: {call:?}");
            assert_eq!(*call.metadata.level(), Level::DEBUG);
        }
        assert!(!format!("{all:?}").contains("secret-key"), "{all:#?}");
    });
}

#[test]
fn keys_are_told_on_request_and_secrets_never() {
    let told = everywhere();
    ends(move || {
        let server = Scripted::well();
        let url = format!("redis://ana:hunter2@{}", server.address());
        let backend = on(url).trace_keys(true).build().unwrap();
        block_on(backend.get::<u8>("a-key")).unwrap();
        block_on(backend.set("a-key", "a-value", Ttl::Never)).unwrap();
        server.stop();
        while block_on(backend.get::<u8>("a-key")).is_ok() {}
        let all = told.at(server.port());
        let keys = all
            .iter()
            .filter(|seen| seen.field("nori_cache.key") == "a-key");
        assert!(keys.count() >= 3, "{all:#?}");
        let all = format!("{all:?}");
        assert!(
            !all.contains("hunter2") && !all.contains("a-value"),
            "{all}"
        );
    });
}

#[test]
fn outages_are_told_once_and_attempts_to_connect_each() {
    let told = everywhere();
    ends(move || {
        let server = Scripted::well();
        let backend = on(server.url()).build().unwrap();
        block_on(backend.get::<u8>("k")).unwrap();
        server.stop();
        let failures = || backend.stats().links[0].failures;
        while failures() < 3 {
            assert!(block_on(backend.get::<u8>("k")).is_err());
            sleep(POLITE);
        }
        server.start_again();
        while block_on(backend.get::<u8>("k")).is_err() {
            sleep(POLITE);
        }
        let all = told.at(server.port());
        let named = |name: &'static str| all.iter().filter(move |seen| seen.name() == name);
        // 1. Each attempt is a span, of which nobody's call is the parent.
        let failed = named("connect").filter(|seen| seen.field("error.type") == "connection");
        assert_eq!(failed.count() as u64, failures());
        let first = named("connect").next().unwrap();
        assert_eq!(
            (
                first.field("nori_cache.reconnect"),
                first.field("error.type")
            ),
            ("false", "")
        );
        let last = named("connect").next_back().unwrap();
        assert_eq!(
            (last.field("nori_cache.reconnect"), last.field("error.type")),
            ("true", "")
        );
        assert!(named("connect").all(|seen| seen.parent.is_none() && seen.handles == 0));
        // 2. The outage is told when it begins and when it ends.
        let levels = |name| {
            named(name)
                .map(|seen| *seen.metadata.level())
                .collect::<Vec<_>>()
        };
        assert_eq!(levels("breaker opened"), [Level::WARN]);
        assert_eq!(levels("breaker closed"), [Level::INFO]);
        assert_eq!(
            named("breaker opened").next().unwrap().field("error.type"),
            "connection"
        );
        // 3. Calls that failed say so.
        let get = backend.stats()[nori_cache::Operation::Get];
        let failed = named("call").filter(|seen| seen.field("otel.status_code") == "ERROR");
        let failed: Vec<&str> = failed.map(|seen| seen.field("error.type")).collect();
        assert_eq!(failed.len() as u64, get.errors.total());
        assert!(
            failed.iter().all(|kind| *kind == "connection"),
            "{failed:?}"
        );
    });
}

#[test]
fn on_a_cluster_a_span_names_the_node_that_was_asked() {
    let told = everywhere();
    ends(move || {
        let cluster = ScriptedCluster::start(2, |_, asked| Reply::well(asked));
        let backend = on(cluster.url()).build().unwrap();
        let keys: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        for key in &keys {
            block_on(backend.get::<u8>(key)).unwrap();
        }
        let gets = |node: &Scripted| {
            let at = told.at(node.port());
            at.iter().filter(|seen| seen.name() == "call").count()
        };
        let each: Vec<usize> = cluster.nodes.iter().map(gets).collect();
        assert_eq!(each.iter().sum::<usize>(), keys.len());
        assert!(each.iter().all(|gets| *gets > 0), "{each:?}");
        // What goes to both names neither.
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        block_on(backend.get_many::<u8>(&keys)).unwrap();
        let again: Vec<usize> = cluster.nodes.iter().map(gets).collect();
        assert_eq!(again, each);
    });
}

/// A call that is given up has ended, and did not fail.
#[test]
fn spans_end_with_calls_that_are_dropped() {
    let told = everywhere();
    ends(move || {
        let server = Scripted::well();
        server.pause();
        let backend = on(server.url()).build().unwrap();
        let call = || {
            let all = told.at(server.port()).into_iter();
            all.filter(|seen| seen.name() == "call").collect::<Vec<_>>()
        };
        {
            let mut get = pin!(backend.get::<u8>("k"));
            assert!(poll_once(get.as_mut()).is_none());
            assert!(call()[0].handles > 0);
        }
        let calls = call();
        assert_eq!(
            (calls.len(), calls[0].handles, calls[0].field("error.type")),
            (1, 0, "")
        );
        server.resume();
    });
}

/// This thread's, as all is done on it.
#[test]
fn loads_have_spans_and_what_they_do_is_inside() {
    let told = Told::default();
    let _listening = listen(told.clone());
    let server = Scripted::well();
    let shop = on(server.url()).build().unwrap();
    let backend = MemoryCacheBackend::new(10);
    let load = || async { Ok::<_, Error>(shop.get::<u8>("k").await?.unwrap_or(0)) };
    block_on(backend.get_or_load("a", Ttl::Never, load)).unwrap();
    let seen = told.all();
    assert_eq!((seen[0].name(), seen[0].parent), ("load", None));
    assert_eq!((seen[1].name(), seen[1].parent), ("call", Some(0)));
    assert_eq!(
        (seen[0].field("nori_cache.key"), seen[0].field("error.type")),
        ("", "")
    );

    let load = || async { Err::<u8, _>(fmt::Error) };
    assert!(block_on(backend.get_or_load("b", Ttl::Never, load)).is_err());
    let failed = told.all().pop().unwrap();
    assert_eq!(failed.field("error.type"), "core::fmt::Error");
    assert_eq!(
        (failed.field("otel.status_code"), failed.handles),
        ("ERROR", 0)
    );

    let load = || async { panic!("a loader that panics") };
    let load = backend.get_or_load::<u8, Error, _, _>("c", Ttl::Never, load);
    let panics = std::panic::AssertUnwindSafe(|| block_on(load));
    assert!(std::panic::catch_unwind(panics).is_err());
    let failed = told.all().pop().unwrap();
    assert_eq!((failed.field("error.type"), failed.handles), ("panic", 0));

    // One that is given up did not fail, even while its thread unwinds.
    let load = || std::future::pending::<Result<u8, Error>>();
    let unwinds = std::panic::AssertUnwindSafe(|| {
        let mut waits = pin!(backend.get_or_load("d", Ttl::Never, load));
        assert!(poll_once(waits.as_mut()).is_none());
        panic!("not the loader");
    });
    assert!(std::panic::catch_unwind(unwinds).is_err());
    let dropped = told.all().pop().unwrap();
    assert_eq!((dropped.field("error.type"), dropped.handles), ("", 0));

    let backend = MemoryCacheBackend::builder()
        .trace_keys(true)
        .build()
        .unwrap();
    let load = || async { Ok::<_, Error>(1_u8) };
    block_on(backend.get_or_load("a-key", Ttl::Never, load)).unwrap();
    assert_eq!(told.all().pop().unwrap().field("nori_cache.key"), "a-key");
}

/// The same, of a runtime of one thread.
#[tokio::test]
async fn a_refresh_is_told_from_a_load() {
    let told = Told::default();
    let _listening = listen(told.clone());
    let clock = ManualClock::new();
    let backend = MemoryCacheBackend::builder().clock(clock.clone());
    let backend = Arc::new(backend.build().unwrap());
    let load = |value: u8| {
        let load = backend.load("a").ttl(HOUR).eager_refresh(0.5);
        load.or_load(move |_| ready(Ok::<_, Error>(value)))
    };
    let loads = || -> Vec<(String, usize)> {
        let loads = told.all().into_iter().filter(|seen| seen.name() == "load");
        loads
            .map(|seen| (seen.field("nori_cache.refresh").to_owned(), seen.handles))
            .collect()
    };
    assert_eq!(load(1).await.unwrap(), 1);
    assert_eq!(loads(), [("false".to_owned(), 0)]);
    clock.advance(HOUR * 3 / 4);
    assert_eq!(load(2).await.unwrap(), 1);
    while load(3).await.unwrap() == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(load(3).await.unwrap(), 2);
    assert_eq!(loads(), [("false".to_owned(), 0), ("true".to_owned(), 0)]);
}

/// At whatever level.
#[test]
fn what_is_in_memory_has_no_span() {
    let told = Told::default();
    let _listening = listen(told.clone());
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(10));
    block_on(async {
        backend.set("a", 1, Ttl::Never).await.unwrap();
        backend.get::<u8>("a").await.unwrap();
        backend.get_many::<u8>(&["a", "b"]).await.unwrap();
        backend.incr("a", Ttl::Never).await.unwrap();
        let load = || async { Ok::<u8, Error>(2) };
        assert_eq!(backend.get_or_load("a", Ttl::Never, load).await.unwrap(), 2);
    });
    assert!(told.all().is_empty());
}
