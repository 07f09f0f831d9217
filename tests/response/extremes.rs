//! No setting and no response makes the layer panic: the largest durations, ages and dates, and more headers than a map holds.

use crate::support::{Cached, Runs, World, cached, get, watch, with};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use nori_cache::response::CacheResponse;
use proptest::prelude::*;
use std::time::Duration;

/// What a setting may be at worst.
const LENGTHS: [Duration; 8] = [
    Duration::ZERO,
    Duration::from_nanos(1),
    Duration::from_millis(1),
    Duration::from_secs(60),
    Duration::from_secs(u32::MAX as u64),
    Duration::from_millis(u64::MAX),
    Duration::from_secs(u64::MAX),
    Duration::MAX,
];

/// What a response may say at worst.
const SAID: [(&str, &str); 17] = [
    ("age", "1"),
    ("age", "2147483648"),
    ("age", "99999999999999999999999"),
    ("age", "-1"),
    ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("date", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ("date", "no date"),
    ("expires", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ("expires", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("expires", "0"),
    ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("last-modified", "Fri, 31 Dec 9999 23:59:59 GMT"),
    ("cache-control", "max-age=99999999999999999999999"),
    (
        "cache-control",
        "max-age=1, stale-while-revalidate=99999999999999999999, stale-if-error=99999999999999999999",
    ),
    ("cache-control", "s-maxage=2147483648"),
    ("vary", "accept-language"),
    ("etag", "\"e\""),
];

#[derive(Debug, Clone)]
struct Case {
    by_headers: bool,
    ttl: Duration,
    by_status: Duration,
    while_revalidate: Duration,
    if_error: Duration,
    patience: Duration,
    max_body: u64,
    said: Vec<usize>,
    asked: &'static str,
    steps: Vec<(Duration, bool)>,
}

prop_compose! {
    fn cases()(
        lengths in proptest::array::uniform5(0..LENGTHS.len()),
        by_headers in any::<bool>(),
        max_body in prop_oneof![Just(0), Just(5), Just(u64::MAX)],
        said in proptest::collection::vec(0..SAID.len(), 0..5),
        asked in prop_oneof![
            Just("max-stale"),
            Just("max-stale=99999999999999999999, max-age=99999999999999999999"),
            Just("min-fresh=99999999999999999999"),
            Just("no-cache"),
            Just(""),
        ],
        steps in proptest::collection::vec((0..LENGTHS.len(), any::<bool>()), 1..5),
    ) -> Case {
        let [ttl, by_status, while_revalidate, if_error, patience] = lengths.map(|nth| LENGTHS[nth]);
        let steps = steps.into_iter().map(|(nth, fails)| (LENGTHS[nth], fails)).collect();
        Case { by_headers, ttl, by_status, while_revalidate, if_error, patience, max_body, said, asked, steps }
    }
}

impl Case {
    fn layer(&self, world: &World) -> CacheResponse {
        let layer = match self.by_headers {
            true => CacheResponse::from_headers().heuristics(true),
            false => CacheResponse::ttl(self.ttl).status_ttl(StatusCode::NOT_FOUND, self.by_status),
        };
        world
            .on(layer)
            .stale_while_revalidate(self.while_revalidate)
            .stale_if_error(self.if_error)
            .patience(self.patience)
            .max_body(self.max_body)
    }

    /// Asks now and then; each time more than one at a time.
    async fn run(&self, world: &World) {
        let runs = Runs::default();
        let said: Vec<_> = self.said.iter().map(|&nth| SAID[nth]).collect();
        let service = cached(&self.layer(world), &runs, move |request, _| {
            let mut response = with(&said, "body");
            async move {
                tokio::task::yield_now().await;
                if request.headers().contains_key("x-fail") {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                response
            }
        });
        for (step, fails) in &self.steps {
            let mut headers = vec![("cache-control", self.asked)];
            headers.extend(fails.then_some(("x-fail", "1")));
            let (one, two) = tokio::join!(
                service.get_with("/", &headers),
                service.get_with("/", &headers)
            );
            for got in [one, two] {
                assert!([200, 503].contains(&got.status), "{}", got.status);
            }
            world.clock.advance(*step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_setting_and_no_response_panics(case in cases()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        for world in [World::memory(), World::remote().0] {
            runtime.block_on(case.run(&world));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_settings_are_the_longest_lives() {
    for world in World::both() {
        let ever = Duration::MAX;
        let runs = Runs::default();
        let layer = world
            .on(CacheResponse::ttl(ever))
            .stale_while_revalidate(ever)
            .stale_if_error(ever)
            .patience(ever);
        let service = cached(&layer, &runs, |_, run| async move {
            with(
                &[("age", "1"), ("vary", "accept-language")],
                format!("run {run}"),
            )
        });
        service.get("/").await;
        for _ in 0..5 {
            world.clock.advance(Duration::from_secs(365 * 24 * 3600));
            let got = service.get("/").await;
            assert!(got.is_hit(), "{}", got.how());
            assert_eq!(got.text(), "run 1");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_system_clock_bears_the_longest_settings_too() {
    let layer = CacheResponse::ttl(Duration::MAX)
        .stale_if_error(Duration::MAX)
        .backend(std::sync::Arc::new(nori_cache::MemoryCacheBackend::new(10)));
    watch(&layer);
    let service = cached(&layer, &Runs::default(), |_, _| async move {
        with(&[("age", "1")], "body")
    });
    service.get("/").await;
    assert!(service.get("/").await.is_hit());
}

/// As many as a map can hold: of names that differ, or of one name.
fn lines(count: usize, same: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for nth in 0..count {
        let name = if same {
            "x-same".to_owned()
        } else {
            format!("x-{nth}")
        };
        let name = HeaderName::try_from(name).unwrap();
        headers
            .try_append(name, HeaderValue::from_static("1"))
            .unwrap();
    }
    headers
}

#[tokio::test]
async fn a_response_with_all_the_headers_that_a_map_holds_reaches_the_client_as_it_is() {
    for world in World::both() {
        for (count, same) in [
            (24_576, false),
            (24_575, false),
            (24_574, false),
            (24_573, false),
            (24_576, true),
            (40_000, true),
        ] {
            for (nth, layer) in crate::support::modes(&world).into_iter().enumerate() {
                let runs = Runs::default();
                let layer = layer
                    .key_prefix(format!("{count} {same} {nth}"))
                    .stale_if_error(Duration::from_secs(60));
                let headers = lines(count, same);
                let sent = headers.clone();
                let service = cached(&layer, &runs, move |request, run| {
                    let mut response =
                        Response::new(http_body_util::Full::from(format!("run {run}")));
                    *response.headers_mut() = match request.headers().contains_key("x-few") {
                        true => HeaderMap::new(),
                        false => sent.clone(),
                    };
                    async move { response }
                });
                for run in 1..4 {
                    let got = service.get("/").await;
                    assert_eq!(got.text(), format!("run {run}"));
                    for (name, value) in &headers {
                        assert!(got.headers.get_all(name).iter().any(|other| other == value));
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_request_with_all_the_headers_that_a_map_holds_is_answered() {
    for world in World::both() {
        let layer = world.by_headers();
        let runs = Runs::default();
        let service = cached(&layer, &runs, |_, run| async move {
            let etag = [("cache-control", "max-age=1"), ("etag", "\"1\"")];
            with(&etag, format!("run {run}"))
        });
        let ask = || {
            let mut request = get("/", &[]);
            *request.headers_mut() = lines(24_576, false);
            service.ask(request)
        };
        assert_eq!(ask().await.text(), "run 1");
        assert!(ask().await.is_hit());
        // To ask whether it is still good takes two more.
        world.advance(2);
        assert_eq!(ask().await.text(), "run 2");
    }
}
