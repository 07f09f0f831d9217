//! On a real Redis.

use crate::Runs;
use crate::server::Server;
use nori_cache::{CacheBackend, RedisCacheBackend, cached};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    name: String,
    run: usize,
}

#[cached(key = "user:{id}:{lang}", ttl = "1d", backend = cache, skip(cache, runs))]
async fn user(
    cache: &Arc<dyn CacheBackend>,
    runs: &Runs,
    id: &str,
    lang: &str,
) -> Result<Option<User>, std::io::Error> {
    let run = runs.next();
    let name = format!("{id} in {lang}");
    match id {
        "broken" => Err(std::io::Error::other("no answer")),
        "nobody" => Ok(None),
        _ => Ok(Some(User { name, run })),
    }
}

fn on(server: &Server) -> Arc<dyn CacheBackend> {
    let builder = RedisCacheBackend::builder().url(server.url());
    // A budget that holds on a busy machine, too.
    Arc::new(builder.timeout(Duration::from_secs(60)).build().unwrap())
}

#[tokio::test]
async fn what_is_cached_is_shared_and_readable() {
    let server = Server::start();
    let (one, other) = (on(&server), on(&server));
    let runs = Runs::default();
    let ana = user(&one, &runs, "a:1", "en").await.unwrap();
    assert_eq!(user(&other, &runs, "a:1", "en").await.unwrap(), ana);
    assert_eq!(runs.count(), 1);
    assert_eq!(server.ask(&["KEYS", "*"]), "cache:user:a%3A1:en");
    let stored = server.ask(&["GET", "cache:user:a%3A1:en"]);
    assert_eq!(stored, r#"{"name":"a:1 in en","run":1}"#);
    let left: u64 = server
        .ask(&["PTTL", "cache:user:a%3A1:en"])
        .parse()
        .unwrap();
    assert!(left > 80_000_000 && left <= 86_400_000, "{left}");

    // Nothing is stored of an error; what is not there is cached.
    for run in 2..=3 {
        assert!(user(&one, &runs, "broken", "en").await.is_err());
        assert_eq!(runs.count(), run);
    }
    for _ in 0..2 {
        assert_eq!(user(&one, &runs, "nobody", "en").await.unwrap(), None);
        assert_eq!(user(&other, &runs, "nobody", "en").await.unwrap(), None);
    }
    assert_eq!(runs.count(), 4);
    assert_eq!(server.ask(&["GET", "cache:user:nobody:en"]), "null");

    assert!(user_cache_remove(&other, "a:1", "en").await.unwrap());
    assert_eq!(
        user(&one, &runs, "a:1", "en").await.unwrap().unwrap().run,
        5
    );
}

#[tokio::test]
async fn while_it_is_down_the_function_runs() {
    let mut server = Server::start();
    let (cache, runs) = (on(&server), Runs::default());
    user(&cache, &runs, "a", "en").await.unwrap();
    server.kill();
    for run in 2..=3 {
        let user = user(&cache, &runs, "a", "en").await.unwrap();
        assert_eq!(user.unwrap().run, run);
    }
    assert!(
        user_cache_remove(&cache, "a", "en")
            .await
            .unwrap_err()
            .is_connection()
    );
}
