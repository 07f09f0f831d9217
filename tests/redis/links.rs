//! How the way to each server is, as it is told; and what breakers do that were told otherwise.

use crate::scripted::{Reply, Scripted, ScriptedCluster};
use crate::watchdog::{block_on, ends};
use nori_cache::{
    BreakerState, CacheBackend, CacheBackendExt, LinkState, RedisCacheBackend,
    RedisCacheBackendBuilder,
};
use std::thread::sleep;
use std::time::Duration;

/// Where nothing may run out of time.
const HOUR: Duration = Duration::from_secs(3600);
/// Where everything must.
const MOMENT: Duration = Duration::from_millis(50);
/// Between two tries, so that others have the processor; nothing depends on it.
const POLITE: Duration = Duration::from_millis(1);
/// Nobody listens there.
const NOWHERE: &str = "redis://127.0.0.1:1";

fn builder(url: impl Into<String>) -> RedisCacheBackendBuilder {
    RedisCacheBackend::builder().url(url).timeout(HOUR)
}

fn only(backend: &RedisCacheBackend) -> LinkState {
    let mut links = backend.links();
    assert_eq!(links.len(), 1);
    links.remove(0)
}

/// Fails, as there is no connection.
fn is_turned_away(backend: &RedisCacheBackend) {
    let error = block_on(backend.get::<u8>("k")).unwrap_err();
    assert!(error.is_connection(), "{error}");
}

#[test]
fn a_server_that_comes_goes_and_comes_back() {
    ends(|| {
        let server = Scripted::well();
        let backend = builder(server.url()).build().unwrap();
        let link = only(&backend);
        assert_eq!(link.address, server.address());
        assert_eq!(link.breaker, BreakerState::Closed);
        assert!(!link.is_connected && (link.failures, link.reconnects) == (0, 0));
        assert_eq!(block_on(backend.get("k")).unwrap(), Some(1));
        let link = only(&backend);
        assert_eq!(link.breaker, BreakerState::Closed);
        assert!(link.is_connected && (link.failures, link.reconnects) == (0, 0));
        server.stop();
        is_turned_away(&backend);
        let link = only(&backend);
        assert!(!link.is_connected && link.failures > 0);
        assert_ne!(link.breaker, BreakerState::Closed);
        server.start_again();
        while block_on(backend.get::<u8>("k")).is_err() {
            sleep(POLITE);
        }
        let link = only(&backend);
        assert_eq!(link.breaker, BreakerState::Closed);
        assert!(link.is_connected && link.reconnects == 1);
        block_on(backend.close()).unwrap();
        let link = only(&backend);
        assert_eq!(link.breaker, BreakerState::Open);
        assert!(!link.is_connected);
    });
}

/// The server is back, and nobody has asked it: the pause is not over.
#[test]
fn a_long_pause_keeps_calls_from_a_server_that_was_away() {
    ends(|| {
        let server = Scripted::well();
        server.stop();
        let backend = builder(server.url()).breaker_pause(HOUR).build().unwrap();
        is_turned_away(&backend);
        server.start_again();
        for _ in 0..10 {
            is_turned_away(&backend);
        }
        let link = only(&backend);
        assert_eq!((link.breaker, link.failures), (BreakerState::Open, 1));
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_threshold_lets_calls_try_before_the_breaker_opens() {
    ends(|| {
        let builder = builder(NOWHERE).breaker_threshold(3);
        let backend = builder.breaker_pause(HOUR).build().unwrap();
        for (failures, breaker) in [
            (1, BreakerState::Closed),
            (2, BreakerState::Closed),
            (3, BreakerState::Open),
            // Nobody tries any more.
            (3, BreakerState::Open),
            (3, BreakerState::Open),
        ] {
            is_turned_away(&backend);
            let link = only(&backend);
            assert_eq!((link.failures, link.breaker), (failures, breaker));
        }
    });
}

#[test]
fn a_server_that_is_silent_is_half_open_at_once() {
    ends(|| {
        let server = Scripted::start(|_| Reply::Silence);
        let builder = RedisCacheBackend::builder()
            .url(server.url())
            .timeout(MOMENT);
        let backend = builder.breaker_threshold(100).build().unwrap();
        // A machine that stalls may need more than a moment to connect.
        loop {
            let error = block_on(backend.get::<u8>("k")).unwrap_err();
            assert!(error.is_timeout() || error.is_connection(), "{error}");
            let link = only(&backend);
            if link.breaker == BreakerState::HalfOpen {
                assert!(link.failures > 0 && !link.is_connected);
                break;
            }
        }
    });
}

#[test]
fn the_nodes_of_a_cluster() {
    ends(|| {
        let cluster = ScriptedCluster::start(3, |_, asked| Reply::well(asked));
        let builder = builder(cluster.url());
        let backend = builder.build().unwrap();
        let mut addresses: Vec<String> = cluster.nodes.iter().map(Scripted::address).collect();
        addresses.sort();
        let told = |backend: &RedisCacheBackend| -> Vec<String> {
            backend
                .links()
                .into_iter()
                .map(|link| link.address)
                .collect()
        };
        assert_eq!(told(&backend), addresses);
        block_on(backend.verify()).unwrap();
        assert_eq!(told(&backend), addresses);
        let links = backend.links();
        assert!(links.iter().all(|link| link.is_connected), "{links:?}");
        // One goes away, and is told apart.
        cluster.nodes[1].stop();
        while block_on(backend.verify()).is_ok() {
            sleep(POLITE);
        }
        for link in backend.links() {
            let is_away = link.address == cluster.nodes[1].address();
            assert_eq!(link.failures > 0, is_away, "{link:?}");
        }
    });
}

#[test]
fn no_credentials_are_told() {
    for url in [
        "redis://ana:hunter2@host:6379",
        "redis+cluster://ana:hunter2@one:6379,two:6379",
        "redis+sentinel://ana:hunter2@host:26379/main?sentinel_user=bo&sentinel_password=hunter2",
        "unix:///tmp/sock?user=ana&pass=hunter2",
    ] {
        let backend = builder(url).build().unwrap();
        let told = format!("{:?}", backend.links());
        assert!(!told.contains("hunter2") && !told.contains("ana"), "{told}");
    }
}

#[test]
fn settings() {
    let message = |builder: RedisCacheBackendBuilder| {
        let error = builder.build().unwrap_err();
        assert!(error.is_invalid_config());
        error.to_string()
    };
    assert_eq!(
        message(builder(NOWHERE).breaker_threshold(0)),
        "breaker_threshold is 0; it must be at least 1"
    );
    for pause in [Duration::ZERO, HOUR + Duration::from_nanos(1)] {
        assert_eq!(
            message(builder(NOWHERE).breaker_pause(pause)),
            format!("breaker_pause is {pause:?}; it must be longer than zero, and an hour at most")
        );
    }
    assert_eq!(
        message(builder(NOWHERE).max_loads(0)),
        "max_loads is 0; it must be at least 1"
    );
    builder(NOWHERE)
        .breaker_threshold(u32::MAX)
        .breaker_pause(HOUR)
        .build()
        .unwrap();
    builder(NOWHERE)
        .breaker_pause(Duration::from_nanos(1))
        .build()
        .unwrap();
}
