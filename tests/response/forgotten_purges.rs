//! Purges hold though the store forgets what they left there: because it is full, because an hour has gone by, or because it is
//! out of reach.

use crate::support::remote::Stop;
use crate::support::{Cached, Got, Runs, World, cached, get, with};
use nori_cache::response::CacheResponse;
use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIST: &str = "nori-cache:purges";

#[derive(Debug, Clone, Copy)]
enum Purge {
    Key,
    Prefix,
    Tag,
}

impl Purge {
    async fn by(self, layer: &CacheResponse) {
        match self {
            Self::Key => drop(layer.purge_key("view:/:").await.unwrap()),
            Self::Prefix => layer.purge_prefix("view:/").await.unwrap(),
            Self::Tag => layer.purge_tag("t").await.unwrap(),
        }
    }
}

/// A request whose handler runs until it is let go.
struct Held {
    go: Arc<Notify>,
    running: JoinHandle<Got>,
}

impl Held {
    async fn end(self) {
        self.go.notify_one();
        assert_eq!(self.running.await.unwrap().text(), "run 1");
    }
}

/// A service, and a request for `/` whose handler, the first to run, is held up.
async fn held(layer: &CacheResponse) -> (impl Cached + use<>, Held) {
    let (started, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (starts, goes) = (Arc::clone(&started), Arc::clone(&go));
    let service = cached(layer, &Runs::default(), move |_, run| {
        let (starts, goes) = (Arc::clone(&starts), Arc::clone(&goes));
        async move {
            if run == 1 {
                starts.notify_one();
                goes.notified().await;
            }
            with(&[("cache-tag", "t")], format!("run {run}"))
        }
    });
    let running = tokio::spawn(service.ask(get("/", &[])));
    started.notified().await;
    (service, Held { go, running })
}

/// What comes does so without waiting for anybody.
async fn at_once<T>(what: impl Future<Output = T>) -> T {
    let second = Duration::from_secs(1);
    timeout(second, what).await.expect("waits for another")
}

/// A small backend, and a layer on it.
fn small() -> (Arc<MemoryCacheBackend>, CacheResponse) {
    let backend = Arc::new(MemoryCacheBackend::new(100));
    let layer = CacheResponse::ttl(Duration::from_secs(60))
        .backend(Arc::clone(&backend) as Arc<dyn CacheBackend>)
        .patience(Duration::from_secs(3600));
    (backend, layer)
}

/// The store forgets a purge by key after an hour, and is told of another one: it must not look like the first.
#[tokio::test]
async fn a_handler_does_not_outlast_the_second_purge() {
    for world in World::both() {
        for by_another in [false, true] {
            let layer = world.timed(7200);
            let purger = if by_another {
                world.timed(7200)
            } else {
                layer.clone()
            };
            Purge::Key.by(&purger).await;
            world.advance(3599);
            let (service, held) = held(&layer).await;
            world.advance(2);
            Purge::Key.by(&purger).await;
            held.end().await;
            assert_eq!(service.get("/").await.text(), "run 2", "{by_another}");
            Purge::Key.by(&purger).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn other_pages_evict_no_purge() {
    for purge in [Purge::Key, Purge::Prefix, Purge::Tag] {
        let (_, layer) = small();
        let (service, held) = held(&layer).await;
        purge.by(&layer).await;
        for page in 0..1000 {
            service.get(&format!("/other?{page}")).await;
        }
        held.end().await;
        let after = service.get("/").await;
        assert_ne!(after.text(), "run 1", "{purge:?}");
        assert_eq!(service.get("/").await.text(), after.text(), "{purge:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_values_evict_no_purge() {
    for purge in [Purge::Key, Purge::Prefix, Purge::Tag] {
        let (backend, layer) = small();
        let (service, held) = held(&layer).await;
        purge.by(&layer).await;
        for nth in 0..1000 {
            let minute = Duration::from_secs(60);
            backend.set(&format!("{nth}"), nth, minute).await.unwrap();
        }
        assert!(backend.get_value(LIST).await.unwrap().is_none());
        if let Purge::Key = purge {
            // Who comes now waits for nobody who came before.
            assert_eq!(at_once(service.get("/")).await.text(), "run 2");
        }
        held.end().await;
        assert_eq!(service.get("/").await.text(), "run 2", "{purge:?}");
        assert!(service.get("/").await.is_hit(), "{purge:?}");
    }
}

/// Who cannot ask the store shares no answer of before a purge that this layer has made.
#[tokio::test(start_paused = true)]
async fn a_purge_holds_while_the_store_is_down() {
    for purge in [Purge::Key, Purge::Prefix, Purge::Tag] {
        let (world, remote) = World::remote();
        let layer = world.timed(60);
        let (service, held) = held(&layer).await;
        purge.by(&layer).await;
        remote.down.store(true, SeqCst);
        let after = tokio::spawn(service.ask(get("/", &[])));
        tokio::time::sleep(Duration::from_millis(1)).await;
        held.end().await;
        assert_eq!(after.await.unwrap().text(), "run 2", "{purge:?}");
    }
}

/// The writer has looked whether there was a purge, and is about to write, or has just written; the purge's stamp is gone when it
/// looks again.
#[tokio::test(start_paused = true)]
async fn a_stamp_that_is_lost_while_a_response_is_being_stored() {
    for written in [false, true] {
        let (world, remote) = World::remote();
        let layer = world.timed(60);
        let service = cached(&layer, &Runs::default(), |_, run| async move {
            with(&[], format!("run {run}"))
        });
        let stop = Stop::default();
        *remote.stop.lock().unwrap() = Some(stop.clone());
        let running = tokio::spawn(service.ask(get("/", &[])));
        for (at, now) in [(&stop.before, !written), (&stop.after, written)] {
            at.meet().await;
            if now {
                Purge::Key.by(&layer).await;
                let mut stamps = remote.keys();
                stamps.retain(|key| key.starts_with("nori-cache:purges:"));
                let [stamp] = &*stamps else {
                    panic!("{stamps:?}")
                };
                assert!(world.backend.delete_value(stamp).await.unwrap());
            }
            at.go().await;
        }
        assert_eq!(running.await.unwrap().text(), "run 1");
        assert_eq!(service.get("/").await.text(), "run 2", "{written}");
        assert!(service.get("/").await.is_hit(), "{written}");
    }
}
