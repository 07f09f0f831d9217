//! What loads get when the far tier cannot be read, or is slow: with fail-safe what was last known, and never what is known to be out of
//! date. The server does what it is told to; no outcome goes by the clock, but for what has expired, which is waited for.

use crate::scripted::{Asked, Reply, Scripted};
use crate::{MINUTE, POLITE, built, caught_up, tiers};
use nori_cache::{
    Answer, CacheBackend, CacheBackendExt, Codec, Coherence, Error, LoadContext, Outcome,
    TieredCacheBackend, TieredCacheBackendBuilder, View,
};
use parking_lot::Mutex;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::time::sleep;

const HOUR: Duration = Duration::from_secs(3600);
const DOWN: &str = "the source is down";

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as u64
}

/// The value 1 as a load keeps it, fresh until then.
fn kept(fresh_until: u64) -> Vec<u8> {
    let mut bytes = b"\xC1K\x01\x00".to_vec();
    bytes.extend(0_u64.to_be_bytes());
    bytes.extend(fresh_until.to_be_bytes());
    bytes.extend(b"\x001");
    bytes
}

/// A server with one value, until it is removed.
struct Far {
    server: Scripted,
    value: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Far {
    fn with(value: Vec<u8>, pttl: i64) -> Self {
        let value = Arc::new(Mutex::new(Some(value)));
        let stored = Arc::clone(&value);
        let answer = move |asked: &Asked| match (asked.name(), asked.words.get(1)) {
            ("GET", Some(key)) if key == "cache:n" => match &*stored.lock() {
                Some(value) => {
                    let head = format!("${}\r\n", value.len()).into_bytes();
                    Reply::Say([&head[..], value, b"\r\n"].concat())
                }
                None => Reply::nil(),
            },
            ("GET", _) => Reply::nil(),
            ("PTTL", Some(key)) if key == "cache:tell" => {
                let push = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$7\r\ncache:n\r\n";
                Reply::Say(format!("{push}:-1\r\n").into_bytes())
            }
            ("PTTL", Some(key)) if key == "cache:bye" => Reply::HangUp,
            ("PTTL", _) => Reply::integer(pttl),
            // With its lease: a removal.
            ("EVALSHA", _) if asked.words[2] == "2" => {
                *stored.lock() = None;
                Reply::integer(1)
            }
            _ => Reply::well(asked),
        };
        let server = Scripted::start(answer);
        Self { server, value }
    }

    /// With a value that is fresh for an hour.
    fn fresh() -> Self {
        Self::with(kept(now() + 3_600_000), -1)
    }

    fn near(&self) -> TieredCacheBackendBuilder {
        tiers(self.server.url())
    }
}

/// Until no copy is used any more.
async fn is_not_near(near: &TieredCacheBackend) {
    while near.read_now("n", &mut |_| ()) {
        sleep(POLITE).await;
    }
}

/// The connection is lost, and with it what vouches for copies.
async fn loses_coverage(near: &TieredCacheBackend) {
    near.ttl("bye").await.unwrap_err();
    is_not_near(near).await;
}

async fn fetched(near: &TieredCacheBackend) {
    assert_eq!(near.get::<u8>("n").await.unwrap(), Some(1));
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum FarIs {
    Down,
    /// It takes what comes, and answers when the load is over, or has begun to wait.
    Slow,
    Back,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum CopyIs {
    Valid,
    CoverageLost,
    TimeOver,
    Invalidated,
    /// This process wanted it removed, and was told that it could not be.
    DeleteFailed,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Got {
    Hit,
    /// The value was last known, and there is an error of the store beside it.
    FailSafe,
    TimedOut,
    /// The loader's.
    Error,
}

fn got(answer: Result<Answer<u8>, String>) -> Got {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            assert_eq!(error, DOWN);
            return Got::Error;
        }
    };
    assert_eq!(*answer.value(), 1);
    match answer.outcome() {
        Outcome::Hit => {
            assert!(answer.store_error().is_none());
            Got::Hit
        }
        Outcome::FailSafe(error) => {
            assert!(error.to_string().contains(DOWN), "{error}");
            assert!(answer.store_error().unwrap().is_connection());
            Got::FailSafe
        }
        Outcome::TimedOut => {
            assert!(answer.store_error().unwrap().is_timeout());
            assert!(answer.is_refreshing());
            Got::TimedOut
        }
        other => panic!("{other:?}"),
    }
}

/// Without fail-safe, and with it.
fn expected(far: FarIs, copy: CopyIs) -> [Got; 2] {
    use Got::*;
    match (copy, far) {
        (CopyIs::Valid, _) => [Hit, Hit],
        (CopyIs::CoverageLost | CopyIs::TimeOver, FarIs::Down) => [Error, FailSafe],
        // Who has something to go away with does, and the others wait until the server has said that it has a fresh value.
        (CopyIs::CoverageLost | CopyIs::TimeOver, FarIs::Slow) => [Hit, TimedOut],
        (CopyIs::CoverageLost | CopyIs::TimeOver, FarIs::Back) => [Hit, Hit],
        (CopyIs::Invalidated | CopyIs::None, FarIs::Down) => [Error, Error],
        (CopyIs::Invalidated | CopyIs::None, FarIs::Slow | FarIs::Back) => [Hit, Hit],
        // When it can be asked again, it is removed first.
        (CopyIs::DeleteFailed, _) => [Error, Error],
    }
}

async fn cell(far_is: FarIs, copy: CopyIs, is_safe: bool) -> Got {
    let far = Far::fresh();
    let near = match copy {
        // What nobody has to vouch for is valid whatever becomes of the server.
        CopyIs::Valid => far.near().coherence(Coherence::NearTtl),
        CopyIs::TimeOver => far.near().near_ttl(Duration::from_millis(1)),
        _ => far.near(),
    };
    let near = built(near);
    if copy != CopyIs::None {
        fetched(&near).await;
    }
    match copy {
        CopyIs::Valid | CopyIs::None => {}
        CopyIs::CoverageLost => loses_coverage(&near).await,
        CopyIs::TimeOver => is_not_near(&near).await,
        CopyIs::Invalidated => {
            near.ttl("tell").await.unwrap();
            assert!(!near.read_now("n", &mut |_| ()));
        }
        CopyIs::DeleteFailed => {
            far.server.stop();
            let error = near.delete("n").await.unwrap_err();
            assert!(error.is_connection(), "{error}");
            if far_is != FarIs::Down {
                // It must not be back before it is as it is to be.
                far.server.pause();
            }
        }
    }
    match far_is {
        FarIs::Down => far.server.stop(),
        FarIs::Slow => far.server.pause(),
        FarIs::Back => {
            far.server.stop();
            far.server.start_again();
            caught_up(&near, "other").await;
        }
    }
    let load = async move {
        // No time at all, and all the time there is.
        let limit = if far_is == FarIs::Slow {
            Duration::ZERO
        } else {
            HOUR
        };
        let mut load = near.load("n").soft_timeout(limit);
        if is_safe {
            load = load.fail_safe(HOUR);
        }
        let load = load.answer_or_load(|_| ready(Err::<u8, _>(DOWN.to_owned())));
        got(load.await)
    };
    if far_is == FarIs::Slow && expected(far_is, copy)[usize::from(is_safe)] != Got::TimedOut {
        let load = tokio::spawn(load);
        far.server.resume();
        return load.await.unwrap();
    }
    let got = load.await;
    // What goes on in the background ends.
    far.server.resume();
    got
}

#[tokio::test]
async fn the_table() {
    use CopyIs::*;
    for far in [FarIs::Down, FarIs::Slow, FarIs::Back] {
        for copy in [
            Valid,
            CoverageLost,
            TimeOver,
            Invalidated,
            DeleteFailed,
            None,
        ] {
            for is_safe in [false, true] {
                let got = cell(far, copy, is_safe).await;
                let expected = expected(far, copy)[usize::from(is_safe)];
                assert_eq!(got, expected, "{far:?} {copy:?}, fail-safe: {is_safe}");
            }
        }
    }
}

/// A far tier that is down, and a copy without coverage.
async fn down(far: &Far) -> Arc<TieredCacheBackend> {
    let near = built(far.near());
    near.get_value("n").await.unwrap();
    far.server.stop();
    is_not_near(&near).await;
    near
}

async fn load(near: &Arc<TieredCacheBackend>, window: Duration) -> Got {
    let load = near.load("n").fail_safe(window);
    got(load
        .answer_or_load(|_| ready(Err::<u8, _>(DOWN.to_owned())))
        .await)
}

/// As its envelope says: fresh, expired, and expired for longer than fail-safe allows. Plain reads fail, whatever is known.
#[tokio::test]
async fn what_is_last_known_is_returned_within_its_life_and_the_window() {
    for (fresh_until, expected) in [
        (now() + 3_600_000, Got::FailSafe),
        (now() - 1_000, Got::FailSafe),
        (now() - 3_600_000, Got::Error),
        (u64::MAX, Got::FailSafe),
    ] {
        let far = Far::with(kept(fresh_until), -1);
        let near = down(&far).await;
        assert_eq!(load(&near, MINUTE).await, expected, "{fresh_until}");
        assert!(near.get::<u8>("n").await.unwrap_err().is_connection());
        assert!(near.get_many::<u8>(&["n"]).await.is_err());
        assert!(near.latest_value("n").await.is_err());
        // Nor do others than fail-safe: neither what refreshes in the background, nor what is strict.
        let load = near.load("n").stale_while_revalidate(HOUR);
        let load = load.or_load(|_| ready(Err::<u8, _>(DOWN.to_owned())));
        assert_eq!(load.await.unwrap_err(), DOWN);
        let load = near.load("n").fail_safe(HOUR).strict();
        let load = load.or_load(|_| ready(Ok::<u8, Error>(2)));
        assert!(load.await.unwrap_err().is_connection());
    }
}

/// What has no envelope lives for as long as the server said.
#[tokio::test]
async fn a_plain_value_is_returned_as_long_as_it_lives() {
    let far = Far::with(b"1".to_vec(), -1);
    let near = down(&far).await;
    for _ in 0..3 {
        assert_eq!(load(&near, MINUTE).await, Got::FailSafe);
    }
    let far = Far::with(b"1".to_vec(), 20);
    let near = down(&far).await;
    while near.last_known("n").is_some() {
        sleep(POLITE).await;
    }
    assert_eq!(load(&near, MINUTE).await, Got::Error);
}

/// While a failure is remembered, the loader is not called.
#[tokio::test]
async fn the_pause_of_fail_safe_is_kept() {
    let far = Far::fresh();
    let near = down(&far).await;
    let calls = Arc::new(AtomicU64::new(0));
    for _ in 0..10 {
        let calls = Arc::clone(&calls);
        let load = near.load("n").fail_safe(HOUR).fail_safe_throttle(HOUR);
        let load = load.answer_or_load(move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            ready(Err::<u8, _>(DOWN.to_owned()))
        });
        assert_eq!(got(load.await), Got::FailSafe);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(near.load_counts().fail_safe, 10);
}

/// The source is well: the caller gets what it says, and the loader is not shown what nobody vouches for.
#[tokio::test]
async fn what_is_last_known_is_neither_a_hit_nor_the_loader_s() {
    let far = Far::fresh();
    let near = down(&far).await;
    let load = near.load("n").fail_safe(HOUR);
    let load = load.answer_or_load(|cx: LoadContext<u8>| {
        assert!(cx.stale().is_none() && cx.validator().is_none());
        ready(Ok::<_, Error>(2))
    });
    let answer = load.await.unwrap();
    assert!(matches!(answer.outcome(), Outcome::Loaded));
    assert!(answer.store_error().unwrap().is_connection());
    assert_eq!(*answer.value(), 2);
}

/// What this process removes while the loader runs is not returned when that fails, though it was there when the load began, and though it
/// could not be removed.
#[tokio::test]
async fn what_is_removed_while_the_loader_runs_is_not_returned() {
    for is_removed in [false, true] {
        for soft_timeout in [None, Some(HOUR)] {
            let far = Far::fresh();
            let near = down(&far).await;
            let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (has_begun, may_go) = (Arc::clone(&begun), Arc::clone(&go));
            let loading = Arc::clone(&near);
            let load = tokio::spawn(async move {
                let mut load = loading.load("n").fail_safe(HOUR);
                if let Some(limit) = soft_timeout {
                    load = load.soft_timeout(limit);
                }
                let load = load.answer_or_load(move |_| async move {
                    has_begun.notify_one();
                    may_go.notified().await;
                    Err::<u8, _>(DOWN.to_owned())
                });
                got(load.await)
            });
            begun.notified().await;
            if is_removed {
                // As a backend, around the bookkeeping of loads: only the copy says so.
                near.delete_value("n").await.unwrap_err();
            }
            go.notify_one();
            let expected = if is_removed {
                Got::Error
            } else {
                Got::FailSafe
            };
            assert_eq!(load.await.unwrap(), expected, "{soft_timeout:?}");
        }
    }
}

/// The far tier is slow: the caller goes away with what was last known, and the load goes on until the server has answered.
#[tokio::test]
async fn who_goes_away_leaves_a_load_that_goes_on() {
    let far = Far::fresh();
    let near = built(far.near());
    fetched(&near).await;
    loses_coverage(&near).await;
    *far.value.lock() = None;
    far.server.pause();
    let (loads, stored) = (Arc::new(AtomicU64::new(0)), Arc::new(Notify::new()));
    for nth in 0..3 {
        let (loads, stored) = (Arc::clone(&loads), Arc::clone(&stored));
        let load = near.load("n").fail_safe(HOUR).soft_timeout(Duration::ZERO);
        let load = load.answer_or_load(move |_| {
            loads.fetch_add(1, Ordering::SeqCst);
            stored.notify_one();
            ready(Ok::<u8, String>(2))
        });
        assert_eq!(got(load.await), Got::TimedOut, "{nth}");
    }
    assert_eq!(loads.load(Ordering::SeqCst), 0);
    far.server.resume();
    stored.notified().await;
    assert_eq!(loads.load(Ordering::SeqCst), 1);
    assert_eq!(near.load_counts().soft_timeouts, 3);
}

/// What the far tier was the last to say counts, also where there is no copy of that.
#[tokio::test]
async fn a_later_answer_replaces_what_was_last_known() {
    let far = Far::fresh();
    let near = far.near().coherence(Coherence::NearTtl);
    let near = built(near.near_ttl(Duration::from_millis(1)));
    fetched(&near).await;
    is_not_near(&near).await;
    assert!(near.last_known("n").is_some());
    // Removed by another. Of that there is no copy where nothing is announced.
    *far.value.lock() = None;
    assert_eq!(near.get::<u8>("n").await.unwrap(), None);
    assert!(near.last_known("n").is_none());
    far.server.stop();
    assert_eq!(load(&near, HOUR).await, Got::Error);
}

/// A view of the backend is the backend, for this too.
#[tokio::test]
async fn a_view_passes_on_what_is_last_known() {
    let far = Far::fresh();
    let near: Arc<dyn CacheBackend> = down(&far).await;
    let view = || View::of(Arc::clone(&near));
    let json = Codec::json();
    for view in [
        view(),
        view().make_strict(),
        view().use_codec(&json),
        view().make_namespace("t"),
    ] {
        let view = Arc::new(view);
        let load = view.load("n").fail_safe(HOUR);
        let load = load.answer_or_load(|_| ready(Err::<u8, _>(DOWN.to_owned())));
        assert_eq!(got(load.await), Got::FailSafe);
    }
}
