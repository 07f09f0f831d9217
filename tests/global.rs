//! The backend of the process and the functions on it. One test: they share it.

#![cfg(feature = "global")]

use nori_cache::{
    CacheBackendExt, Error, MemoryCacheBackend, Ttl, cache_atomic_update, cache_delete,
    cache_delete_many, cache_flush, cache_get, cache_get_many, cache_get_or_load, cache_get_shared,
    cache_incr, cache_incr_by, cache_set, cache_set_default, cache_set_many, cache_set_ref,
    cache_try_atomic_update, cache_ttl, get_backend, reset_backend, set_backend,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Barrier};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Status {
    touched: u32,
}

impl Status {
    fn touched(mut self) -> Self {
        self.touched += 1;
        self
    }
}

/// As a user writes it down from the documentation.
async fn example(user: User) -> Result<(), Error> {
    cache_set(
        "user:42:profile",
        user.clone(),
        Ttl::After(Duration::from_secs(300)),
    )
    .await?; // any serde type
    let profile: Option<User> = cache_get("user:42:profile").await?;
    assert_eq!(profile, Some(user));
    let attempts = cache_incr(
        "login:user@example.com:attempts",
        Ttl::After(Duration::from_secs(3600)),
    )
    .await?;
    assert_eq!(attempts, 1);
    let state = cache_atomic_update("order:42:status", None, |cur: Option<Status>| async move {
        cur.unwrap_or_default().touched()
    })
    .await?;
    assert_eq!(state.touched, 1);
    let backend = get_backend()?; // Arc<dyn CacheBackend>
    backend.verify().await?;
    assert!(cache_delete("user:42:profile").await?);
    cache_flush().await?;
    assert_eq!(cache_get::<Status>("order:42:status").await?, None);
    Ok(())
}

async fn siblings() -> Result<(), Error> {
    let minute = Duration::from_secs(60);
    cache_set_ref("a", "none", Ttl::Never).await?;
    assert_eq!(cache_get::<String>("a").await?.unwrap(), "none");
    cache_set_default("a", "one".to_owned()).await?;
    let Some(Ttl::After(left)) = cache_ttl("a").await? else {
        panic!("the default is a time");
    };
    assert!(left > Duration::from_secs(290) && left <= Duration::from_secs(300));
    let shared = cache_get_shared::<String>("a").await?.unwrap();
    assert!(Arc::ptr_eq(&shared, &cache_get_shared("a").await?.unwrap()));
    cache_set_many([("b", 2), ("c", 3)], minute).await?;
    assert_eq!(
        cache_get_many(&["c", "x", "b"]).await?,
        [Some(3), None, Some(2)]
    );
    assert_eq!(cache_incr_by("b", 40, minute).await?, 42);
    let plus_one = |n: Option<u8>| std::future::ready(n.map_or(1, |n| n + 1));
    cache_atomic_update("updated", Ttl::Never, plus_one).await?;
    assert_eq!(cache_ttl("updated").await?, Some(Ttl::Never));
    cache_atomic_update("updated", minute, plus_one).await?;
    assert_eq!(cache_atomic_update("updated", None, plus_one).await?, 3);
    assert!(matches!(cache_ttl("updated").await?, Some(Ttl::After(left)) if left <= minute));
    let failed: Result<u8, Error> =
        cache_try_atomic_update("b", None, |_| async { Err(Error::closed()) }).await;
    assert!(failed.unwrap_err().is_closed());
    assert_eq!(
        cache_get_or_load("b", minute, || async { Ok::<u8, Error>(1) }).await?,
        42
    );
    assert_eq!(cache_delete_many(&["a", "b", "x"]).await?, 2);
    Ok(())
}

/// It can run on any executor's threads.
fn is_send<T: Send>(future: T) -> T {
    future
}

#[tokio::test]
async fn the_functions_work_on_one_backend_that_is_built_once() {
    let user = User {
        name: "Ana".to_owned(),
    };
    is_send(example(user)).await.unwrap();
    is_send(siblings()).await.unwrap();

    // Threads that ask at the same time get the same one.
    for _ in 0..50 {
        reset_backend();
        let barrier = Barrier::new(4);
        let built: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        get_backend().unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(built.iter().all(|it| Arc::ptr_eq(it, &built[0])));
    }

    // A change is seen by every thread's next call.
    let mine = Arc::new(MemoryCacheBackend::new(10));
    set_backend(Arc::clone(&mine) as _);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let set = cache_set("whose", 1, Ttl::Never);
            runtime.unwrap().block_on(set).unwrap();
        });
    });
    assert_eq!(mine.get("whose").await.unwrap(), Some(1));
    mine.close_and_check().await;
    reset_backend();
    assert_eq!(cache_get::<u8>("whose").await.unwrap(), None);
}

trait CloseAndCheck {
    async fn close_and_check(&self);
}

impl CloseAndCheck for MemoryCacheBackend {
    /// A closed backend stays the process's, and says that it is closed.
    async fn close_and_check(&self) {
        get_backend().unwrap().close().await.unwrap();
        let error = cache_get::<u8>("whose").await.unwrap_err();
        assert!(error.is_closed());
        assert_eq!(error.to_string(), r#"get "whose": the backend is closed"#);
    }
}
