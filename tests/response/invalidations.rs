//! A method that has changed something outdates what is stored of it, also if its client does not wait for that.

use crate::support::remote::Remote;
use crate::support::{Cached, Runs, World, cached, constant, get, request, with};
use nori_cache::{BackendFuture, CacheBackend, Error, Flights, Ttl, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// A backend elsewhere, where the stamps of purges wait for the test.
#[derive(Debug)]
struct Slow {
    remote: Arc<Remote>,
    gate: Arc<Semaphore>,
}

impl CacheBackend for Slow {
    fn get_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Value>> {
        self.remote.get_value(key)
    }
    fn set_value<'a>(&'a self, key: &'a str, value: Value, ttl: Ttl) -> BackendFuture<'a, ()> {
        BackendFuture::boxed(async move {
            if key.starts_with("nori-cache:purges:") {
                self.gate
                    .acquire()
                    .await
                    .map_err(Error::connection)?
                    .forget();
            }
            self.remote.set_value(key, value, ttl).await
        })
    }
    fn delete_value<'a>(&'a self, key: &'a str) -> BackendFuture<'a, bool> {
        self.remote.delete_value(key)
    }
    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.remote.flush_values()
    }
    fn incr_value<'a>(&'a self, key: &'a str, by: i64, ttl: Ttl) -> BackendFuture<'a, i64> {
        self.remote.incr_value(key, by, ttl)
    }
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a Value>,
        new: Value,
        ttl: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        self.remote.compare_and_set(key, expected, new, ttl)
    }
    fn value_ttl<'a>(&'a self, key: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        self.remote.value_ttl(key)
    }
    fn flights(&self) -> &Flights {
        self.remote.flights()
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_before_it_is_answered_does_not_keep_the_old_response() {
    for (max, want) in [(1, false), (0, true)] {
        let (mut world, remote) = World::remote();
        let gate = Arc::new(Semaphore::new(0));
        world.backend = Arc::new(Slow {
            remote,
            gate: Arc::clone(&gate),
        });
        let layer = world.by_headers().max_detached(max);
        let service = constant(&layer, &Runs::default(), &[("cache-control", "max-age=60")]);
        service.get("/").await;
        let posted = tower::ServiceExt::oneshot(service.clone(), request("POST", "/", &[]));
        assert!(timeout(Duration::from_secs(1), posted).await.is_err());
        assert_eq!(layer.stats().detached, max as u64);
        gate.add_permits(1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(layer.stats().detached, 0);
        let hit = service.ask(get("/", &[])).await.is_hit();
        assert_eq!(hit, want, "{max}");
    }
}

/// RFC 9111 §4.4: a target that the response names is one of the request's authority, wherever that stands.
#[tokio::test]
async fn what_a_response_names_is_found_under_the_requests_authority() {
    for world in World::both() {
        for by_host in [false, true] {
            for (nth, (base, headers)) in [
                ("http://h:80", &[][..]),
                ("https://h", &[("host", "h")]),
                ("", &[("host", "h")]),
            ]
            .into_iter()
            .enumerate()
            {
                let prefix = format!("{by_host}{nth}");
                let layer = world.by_headers().host_in_key(by_host).key_prefix(prefix);
                for (name, named) in [
                    ("location", "/page"),
                    ("content-location", "/page"),
                    ("location", &*format!("{base}/page")),
                ] {
                    let named = named.to_owned();
                    let service = cached(&layer, &Runs::default(), move |request, run| {
                        let headers = match request.method() == "POST" {
                            true => (name, named.clone()),
                            false => ("cache-control", "max-age=60".to_owned()),
                        };
                        async move { with(&[(headers.0, &headers.1)], format!("run {run}")) }
                    });
                    let page = format!("{base}/page");
                    service.get_with(&page, headers).await;
                    assert!(service.get_with(&page, headers).await.is_hit(), "{page}");
                    let target = format!("{base}/other");
                    service.ask(request("POST", &target, headers)).await;
                    let got = service.get_with(&page, headers).await;
                    assert!(!got.is_hit(), "{by_host} {base} {name}");
                    layer.purge_prefix("").await.unwrap();
                }
            }
        }
    }
}
