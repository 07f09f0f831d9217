//! A store that never ends while it stores what was loaded: writes of the key are told so, and do not go ahead.

use crate::watchdog::{block_on, ends};
use nori_cache::{BackendFuture, CacheBackend, CacheBackendExt, Error, Flights, Ttl, Value};
use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

/// Has nothing, and never gets it stored; counts what else is written.
#[derive(Debug)]
struct Stuck {
    writes: AtomicU64,
    flights: Flights,
}

impl Stuck {
    fn wrote<T: Send + 'static>(&self, answer: T) -> BackendFuture<'_, T> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        BackendFuture::ready(Ok(answer))
    }
}

impl CacheBackend for Stuck {
    fn get_value<'a>(&'a self, _: &'a str) -> BackendFuture<'a, Option<Value>> {
        BackendFuture::ready(Ok(None))
    }

    fn set_value<'a>(&'a self, _: &'a str, _: Value, _: Ttl) -> BackendFuture<'a, ()> {
        self.wrote(())
    }

    fn delete_value<'a>(&'a self, _: &'a str) -> BackendFuture<'a, bool> {
        self.wrote(false)
    }

    fn flush_values(&self) -> BackendFuture<'_, ()> {
        self.wrote(())
    }

    fn incr_value<'a>(&'a self, _: &'a str, by: i64, _: Ttl) -> BackendFuture<'a, i64> {
        self.wrote(by)
    }

    fn compare_and_set<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a Value>,
        _: Value,
        _: Option<Ttl>,
    ) -> BackendFuture<'a, bool> {
        BackendFuture::boxed(pending())
    }

    fn value_ttl<'a>(&'a self, _: &'a str) -> BackendFuture<'a, Option<Ttl>> {
        BackendFuture::ready(Ok(None))
    }

    fn flights(&self) -> &Flights {
        &self.flights
    }
}

/// A write beside a load that is being stored, for ever.
fn is_told(operation: &str, write: impl AsyncFn(&Stuck) -> Result<(), Error> + Send + 'static) {
    let backend = Arc::new(Stuck {
        writes: AtomicU64::new(0),
        flights: Flights::with_patience(Duration::from_millis(30)),
    });
    let load = || async { Ok::<u64, Infallible>(1) };
    let mut storing = pin!(backend.get_or_load("k", Ttl::Never, load));
    let mut context = Context::from_waker(Waker::noop());
    assert!(storing.as_mut().poll(&mut context).is_pending());
    let beside = Arc::clone(&backend);
    let error = ends(move || block_on(write(&beside))).unwrap_err();
    assert!(error.is_timeout(), "{error}");
    let start = format!("{operation} \"k\": timed out: ");
    assert!(error.to_string().starts_with(&start), "{error}");
    assert_eq!(backend.writes.load(Ordering::SeqCst), 0, "it went ahead");
}

#[test]
fn writes_of_a_key_that_is_being_stored_for_ever() {
    is_told("set", async |backend| backend.set("k", 1, Ttl::Never).await);
    is_told("delete", async |backend| {
        backend.delete("k").await.map(drop)
    });
    is_told("flush", async |backend| backend.flush().await);
    is_told("set_many", async |backend| {
        backend.set_many([("j", 1), ("k", 2)], Ttl::Never).await
    });
    is_told("delete_many", async |backend| {
        backend.delete_many(&["j", "k"]).await.map(drop)
    });
    is_told("atomic_update", async |backend| {
        let zero = Some(Ttl::After(Duration::ZERO));
        let update = async |n: Option<u64>| n.unwrap_or(0);
        backend.atomic_update("k", zero, update).await.map(drop)
    });
}
