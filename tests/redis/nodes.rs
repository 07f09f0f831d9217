//! Nodes of a cluster that are down, silent, or send callers elsewhere, on cue. Of budgets: see `outages`.

use crate::scripted::{Asked, Reply, Scripted, ScriptedCluster};
use crate::watchdog::{block_on, ends, poll_once};
use nori_cache::{CacheBackend, CacheBackendExt, Error, RedisCacheBackend, Ttl};
use parking_lot::Mutex;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(50);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);

fn on(url: &str, budget: Duration) -> Arc<RedisCacheBackend> {
    let builder = RedisCacheBackend::builder().url(url).timeout(budget);
    Arc::new(builder.build().unwrap())
}

fn is_lost(error: &Error) -> bool {
    error.is_connection() || error.is_timeout()
}

fn works(backend: &RedisCacheBackend, key: &str) {
    while let Err(error) = block_on(backend.set(key, 1, Ttl::Never)) {
        assert!(is_lost(&error), "{error}");
        sleep(POLITE);
    }
}

/// Three nodes that answer whatever they are asked, and a key that lives on each.
fn well() -> (ScriptedCluster, [String; 3]) {
    let cluster = ScriptedCluster::start(3, |_, asked| Reply::well(asked));
    let backend = on(&cluster.url(), HOUR);
    // All nodes are known then, and none is asked for the others any more.
    block_on(backend.verify()).unwrap();
    let key_on = |node: &Scripted| {
        let mut keys = (0..).map(|nth| format!("key:{nth}"));
        let found = keys.find(|key| {
            let before = node.commands();
            block_on(backend.get::<u8>(key)).unwrap();
            node.commands() > before
        });
        found.expect("there is one")
    };
    let keys = [0, 1, 2].map(|nth| key_on(&cluster.nodes[nth]));
    (cluster, keys)
}

/// Who is not there says so at once: none of this takes patience. The keys of the node that is down are errors, never misses, not
/// among many either; those of the others are as they were.
#[test]
fn a_node_goes_away_and_comes_back() {
    ends(|| {
        let (cluster, keys) = well();
        let names = keys.each_ref().map(String::as_str);
        let backend = on(&cluster.url(), HOUR);
        block_on(backend.verify()).unwrap();
        for key in &keys {
            works(&backend, key);
        }
        cluster.nodes[1].stop();
        for _ in 0..100 {
            let error = block_on(backend.get::<u8>(&keys[1])).unwrap_err();
            assert!(error.is_connection(), "{error}");
            let error = block_on(backend.get_many::<u8>(&names)).unwrap_err();
            assert!(error.is_connection(), "{error}");
            assert!(error.to_string().contains(&keys[1]), "{error}");
            for other in [&keys[0], &keys[2]] {
                assert_eq!(block_on(backend.get::<u8>(other)).unwrap(), Some(1));
            }
        }
        block_on(backend.set_many(names.map(|name| (name, 1)), HOUR)).unwrap_err();
        block_on(backend.delete_many(&names)).unwrap_err();
        block_on(backend.flush()).unwrap_err();
        block_on(backend.verify()).unwrap_err();
        cluster.nodes[1].start_again();
        works(&backend, &keys[1]);
        block_on(backend.verify()).unwrap();
        assert_eq!(
            block_on(backend.get_many::<u8>(&names)).unwrap(),
            [Some(1); 3]
        );
    });
}

/// While a call waits for a node that says nothing, the others serve their keys; and somebody who has yet to ask the cluster asks
/// several nodes at a time.
#[test]
fn a_node_that_is_silent_holds_up_its_own_keys_only() {
    ends(|| {
        let (cluster, keys) = well();
        let backend = on(&cluster.url(), HOUR);
        for key in &keys {
            works(&backend, key);
        }
        cluster.nodes[0].pause();
        let names = keys.each_ref().map(String::as_str);
        let mut held = pin!(backend.get::<u8>(&keys[0]));
        let mut many = pin!(backend.get_many::<u8>(&names));
        let new = on(&cluster.url(), HOUR);
        for _ in 0..10 {
            assert!(poll_once(held.as_mut()).is_none());
            assert!(poll_once(many.as_mut()).is_none());
            for other in &keys[1..] {
                assert_eq!(block_on(backend.get::<u8>(other)).unwrap(), Some(1));
                assert_eq!(block_on(new.get::<u8>(other)).unwrap(), Some(1));
            }
        }
        cluster.nodes[0].resume();
        assert_eq!(block_on(held).unwrap(), Some(1));
        assert_eq!(block_on(many).unwrap(), [Some(1); 3]);
    });
}

#[test]
fn nodes_that_are_silent_are_errors() {
    ends(|| {
        let (cluster, keys) = well();
        let names = keys.each_ref().map(String::as_str);
        let backend = on(&cluster.url(), MOMENT);
        for key in &keys {
            works(&backend, key);
        }
        let every_call_fails = |backend: &RedisCacheBackend| {
            for answer in [
                block_on(backend.get::<u8>(&keys[0])).map(drop),
                block_on(backend.get_many::<u8>(&names)).map(drop),
                block_on(backend.delete_many(&names)).map(drop),
                block_on(backend.flush()),
                block_on(backend.verify()),
            ] {
                let error = answer.unwrap_err();
                assert!(is_lost(&error), "{error}");
            }
        };
        cluster.nodes[0].pause();
        every_call_fails(&backend);
        // None of them, and somebody who has never heard of them.
        cluster.nodes[1..].iter().for_each(Scripted::pause);
        every_call_fails(&backend);
        every_call_fails(&on(&cluster.url(), MOMENT));
        cluster.nodes.iter().for_each(Scripted::resume);
        for key in &keys {
            works(&backend, key);
        }
    });
}

/// Two nodes, of which each does with the commands of a call what its line says, one after the other, and is well from then on.
/// The answer, and which node was sent what.
fn followed(
    first: &'static [&'static str],
    second: &'static [&'static str],
    call: impl AsyncFn(&RedisCacheBackend) -> Result<(), Error>,
) -> (Result<(), Error>, Vec<String>) {
    type Log = Arc<Mutex<Vec<String>>>;
    let log = Log::default();
    let counts = [AtomicU64::new(0), AtomicU64::new(0)];
    let (written, ports) = (Arc::clone(&log), Arc::new(Mutex::new([0; 2])));
    let known = Arc::clone(&ports);
    let cluster = ScriptedCluster::start(2, move |nth, asked: &Asked| {
        written.lock().push(format!("{nth} {}", asked.name()));
        if asked.name() == "ASKING" {
            return Reply::ok();
        }
        let script = [first, second][nth];
        let at = counts[nth].fetch_add(1, Ordering::SeqCst) as usize;
        let other = known.lock()[1 - nth];
        match script
            .get(at)
            .or(script.last().filter(|line| line.ends_with('*')))
        {
            Some(line) => {
                let line = line.trim_end_matches('*');
                Reply::error(&line.replace('@', &format!("127.0.0.1:{other}")))
            }
            None => Reply::well(asked),
        }
    });
    *ports.lock() = [cluster.nodes[0].port(), cluster.nodes[1].port()];
    let backend = on(&cluster.url(), HOUR);
    let answer = block_on(call(&backend));
    let log = std::mem::take(&mut *log.lock());
    (answer, log)
}

/// A key of the first node.
const KEY: &str = "{06S}";

#[test]
fn commands_go_where_they_are_sent() {
    ends(|| {
        let get = async |backend: &RedisCacheBackend| backend.get::<u8>(KEY).await.map(drop);
        let set = async |backend: &RedisCacheBackend| backend.set(KEY, 1, Ttl::Never).await;
        let (answer, log) = followed(&["MOVED 0 @"], &[], get);
        answer.unwrap();
        assert_eq!(log, ["0 GET", "1 GET"]);
        let (answer, log) = followed(&["ASK 0 @"], &[], set);
        answer.unwrap();
        assert_eq!(log, ["0 SET", "1 ASKING", "1 SET"]);
        // A slot that is on its way, twice; then it has come back.
        let (answer, log) = followed(&["ASK 0 @"], &["TRYAGAIN Multiple keys"], set);
        answer.unwrap();
        assert_eq!(log, ["0 SET", "1 ASKING", "1 SET", "0 SET"]);
        let many = async |backend: &RedisCacheBackend| {
            backend.set_many([(KEY, 1), (KEY, 2)], Ttl::Never).await
        };
        // Both together, and then each alone.
        let (answer, log) = followed(&["MOVED 0 @*"], &[], many);
        answer.unwrap();
        assert_eq!(log, ["0 SET", "0 SET", "0 SET", "1 SET", "0 SET", "1 SET"]);
    });
}

/// Nodes that send callers to each other for ever.
#[test]
fn commands_that_are_sent_round_in_circles() {
    ends(|| {
        let set = async |backend: &RedisCacheBackend| backend.set(KEY, 1, Ttl::Never).await;
        for around in ["MOVED 0 @*", "ASK 0 @*"] {
            let lines: &'static [&'static str] = Vec::leak(vec![around]);
            let (answer, log) = followed(lines, lines, set);
            let error = answer.unwrap_err();
            assert!(error.is_connection(), "{error}");
            let sent = log.iter().filter(|line| line.ends_with("SET")).count();
            assert_eq!(sent, 16);
        }
    });
}
