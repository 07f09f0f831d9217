//! A method that has changed something outdates what is stored of it, also if its client does not wait for that.

use crate::support::remote::Remote;
use crate::support::{Cached, Runs, World, constant, get, request};
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
