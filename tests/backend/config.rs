//! Settings from the environment and from `.env`; what errors say, and what they do not.

use crate::watchdog::poll_once;
use nori_cache::{
    BackendKind, CacheBackendExt, Codec, Coherence, Config, Error, LoadOptions, Ttl, get_backend,
};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn read(variables: &[(&str, &str)]) -> Result<Config, Error> {
    Config::from_variables(|name| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn message(variables: &[(&str, &str)]) -> String {
    let error = read(variables).unwrap_err();
    assert!(error.is_invalid_config());
    error.to_string()
}

#[test]
fn defaults() {
    assert_eq!(
        format!("{:?}", read(&[]).unwrap()),
        format!("{:?}", Config::default())
    );
    assert_eq!(
        read(&[]).unwrap().build().unwrap().default_ttl(),
        Ttl::After(Duration::from_secs(300))
    );
}

#[test]
fn codecs_reach_the_backend() {
    let kinds = [
        BackendKind::Memory,
        #[cfg(feature = "redis")]
        BackendKind::Redis,
        #[cfg(feature = "redis")]
        BackendKind::Tiered,
    ];
    for kind in kinds {
        let config = Config::default()
            .backend(kind)
            .codec(Codec::json().version(7));
        let backend = config.clone().build().unwrap();
        let shown = format!("{:?}", backend.codec().unwrap());
        assert!(shown.contains("version: 7"), "{shown}");
        assert!(!backend.is_strict());
        assert!(config.strict().build().unwrap().is_strict());
    }
    assert!(Config::default().build().unwrap().codec().is_none());
}

#[test]
fn all_variables() {
    let config = read(&[
        ("CACHE_BACKEND", "Redis"),
        ("CACHE_MAX_KEYS", "5"),
        ("CACHE_COUNTERS", "4"),
        ("CACHE_RESPONSES_MAX_KEYS", "17"),
        ("CACHE_RESPONSES_MAX_BYTES", "18"),
        ("CACHE_MAX_LOADS", "13"),
        ("CACHE_MAX_WAITING_LOADS", "0"),
        ("CACHE_DEFAULT_TTL", "7"),
        ("CACHE_PATIENCE_MS", "8"),
        ("CACHE_TTL_JITTER", "0.1"),
        ("CACHE_FAIL_SAFE", "3600"),
        ("CACHE_SOFT_TIMEOUT_MS", "100"),
        ("CACHE_HARD_TIMEOUT_MS", " 2000 "),
        ("CACHE_EAGER_REFRESH", ".8"),
        ("CACHE_PREFIX", "p:"),
        ("REDIS_URL", "rediss://ana:secret@h:1/2"),
        ("REDIS_TIMEOUT_MS", "9"),
        ("REDIS_BREAKER_THRESHOLD", "14"),
        ("REDIS_BREAKER_PAUSE_MS", "3600000"),
        ("CACHE_NEAR_MAX_KEYS", "10"),
        ("CACHE_NEAR_MAX_BYTES", "16"),
        ("CACHE_NEAR_TTL", "11"),
        ("CACHE_NEAR_STALENESS_MS", "12"),
        ("CACHE_NEAR_COHERENCE", "Broadcast"),
        ("CACHE_NEAR_MAX_REPAIRS", "15"),
    ])
    .unwrap();
    let by_hand = Config::default()
        .backend(BackendKind::Redis)
        .max_keys(5)
        .counters(4)
        .responses(17, 18)
        .max_loads(13)
        .max_waiting_loads(0)
        .default_ttl(Duration::from_secs(7))
        .patience(Duration::from_millis(8))
        .load_options(
            LoadOptions::new()
                .jitter(0.1)
                .fail_safe(Duration::from_secs(3600))
                .soft_timeout(Duration::from_millis(100))
                .hard_timeout(Duration::from_secs(2))
                .eager_refresh(0.8),
        )
        .prefix("p:")
        .redis_url("rediss://ana:secret@h:1/2")
        .redis_timeout(Duration::from_millis(9))
        .redis_breaker_threshold(14)
        .redis_breaker_pause(Duration::from_secs(3600))
        .near_max_keys(10)
        .near_max_bytes(16)
        .near_ttl(Duration::from_secs(11))
        .near_max_staleness(Duration::from_millis(12))
        .near_coherence(Coherence::Broadcast)
        .near_max_repairs(15);
    assert_eq!(format!("{config:?}"), format!("{by_hand:?}"));
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn options_of_loads_reach_the_backend() {
    let kinds = [
        BackendKind::Memory,
        #[cfg(feature = "redis")]
        BackendKind::Redis,
    ];
    let options = LoadOptions::new().fail_safe(Duration::from_secs(7));
    for kind in kinds {
        let config = Config::default().backend(kind);
        assert_eq!(*config.build().unwrap().load_options(), LoadOptions::new());
        let config = config.load_options(options.clone());
        assert_eq!(*config.build().unwrap().load_options(), options);
        let wrong = config.load_options(options.clone().jitter(-0.1));
        let error = wrong.build().unwrap_err();
        assert!(error.is_invalid_config());
        assert_eq!(
            error.to_string(),
            "jitter is -0.1; it must be a share from 0 to 1"
        );
    }
}

#[test]
fn options_of_loads_that_are_not_allowed() {
    let share = "a share above 0 and below 1";
    for (name, given, allowed) in [
        ("CACHE_TTL_JITTER", "1.1", "a share from 0 to 1"),
        ("CACHE_TTL_JITTER", "NaN", "a share from 0 to 1"),
        ("CACHE_TTL_JITTER", "10%", "a share from 0 to 1"),
        ("CACHE_EAGER_REFRESH", "1", share),
        ("CACHE_EAGER_REFRESH", "0", share),
        ("CACHE_EAGER_REFRESH", "", share),
        ("CACHE_FAIL_SAFE", "0", "a whole number, at least 1"),
        ("CACHE_FAIL_SAFE", "1h", "a whole number, at least 1"),
        ("CACHE_SOFT_TIMEOUT_MS", "0", "a whole number, at least 1"),
        ("CACHE_HARD_TIMEOUT_MS", "-1", "a whole number, at least 1"),
    ] {
        let message = message(&[(name, given)]);
        assert!(message.starts_with(&format!("{name} is ")), "{message}");
        assert!(
            message.ends_with(&format!("it must be {allowed}")),
            "{message}"
        );
    }
    let most = (u64::MAX / 1000).to_string();
    assert!(read(&[("CACHE_FAIL_SAFE", &most)]).is_ok());
    assert!(message(&[("CACHE_FAIL_SAFE", "18446744073709551615")]).contains("at most"));
}

/// A URL, or a password, under the wrong name.
#[test]
fn secrets_under_the_wrong_name_are_not_shown() {
    for name in ["CACHE_BACKEND", "CACHE_MAX_KEYS", "REDIS_TIMEOUT_MS"] {
        for value in [
            "redis://ana:hunter2@host:6379/0",
            "redis://host/hunter2",
            "ana:hunter2@host",
            ":hunter2",
        ] {
            let error = message(&[(name, value)]);
            assert!(error.starts_with(name), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
    let redis = |url| message(&[("CACHE_BACKEND", "redis"), ("REDIS_URL", url)]);
    for url in [
        "http://host/hunter2",
        "hunter2",
        "redis:hunter2",
        "redis+x://ana:hunter2@h ost",
    ] {
        let error = redis(url);
        assert!(!error.contains("hunter2"), "{error}");
    }
    let config = read(&[("REDIS_URL", "redis://host:6379/hunter2")]).unwrap();
    assert!(!format!("{config:?} {config:#?}").contains("hunter2"));
}

#[test]
fn errors_name_the_variable_the_value_and_what_is_allowed() {
    let number = "it must be a whole number, at least 1";
    let names = [
        "CACHE_MAX_KEYS",
        "CACHE_DEFAULT_TTL",
        "CACHE_PATIENCE_MS",
        "REDIS_TIMEOUT_MS",
        "REDIS_BREAKER_THRESHOLD",
        "REDIS_BREAKER_PAUSE_MS",
        "CACHE_MAX_LOADS",
        "CACHE_RESPONSES_MAX_KEYS",
        "CACHE_RESPONSES_MAX_BYTES",
        "CACHE_NEAR_MAX_KEYS",
        "CACHE_NEAR_MAX_BYTES",
        "CACHE_NEAR_TTL",
        "CACHE_NEAR_STALENESS_MS",
    ];
    for name in names {
        for value in ["0", "-1", "1.5", "many", "", "1e3", "99999999999999999999"] {
            assert_eq!(
                message(&[(name, value)]),
                format!("{name} is {value:?}; {number}")
            );
        }
    }
    assert_eq!(
        message(&[("CACHE_BACKEND", "memcached")]),
        r#"CACHE_BACKEND is "memcached"; it must be memory, redis or tiered"#
    );
    assert_eq!(
        message(&[("CACHE_BACKEND", "")]),
        r#"CACHE_BACKEND is ""; it must be memory, redis or tiered"#
    );
    assert!(message(&[("CACHE_PREFIX", "")]).starts_with("CACHE_PREFIX is empty; "));
    assert_eq!(
        message(&[("CACHE_NEAR_COHERENCE", "some")]),
        r#"CACHE_NEAR_COHERENCE is "some"; it must be tracking, broadcast, backplane or near-ttl"#
    );
    assert_eq!(
        message(&[("CACHE_NEAR_STALENESS_MS", "9")]),
        "CACHE_NEAR_STALENESS_MS is 9; it must be a whole number, at least 10"
    );
}

#[test]
fn how_many_may_be_none() {
    for name in [
        "CACHE_COUNTERS",
        "CACHE_MAX_WAITING_LOADS",
        "CACHE_NEAR_MAX_REPAIRS",
    ] {
        assert!(read(&[(name, "0")]).is_ok());
        for value in ["-1", "1.5", "many", "", "99999999999999999999"] {
            assert_eq!(
                message(&[(name, value)]),
                format!("{name} is {value:?}; it must be a whole number, at least 0")
            );
        }
    }
}

#[test]
fn counters_leave_room_for_values() {
    let variables = [("CACHE_MAX_KEYS", "5"), ("CACHE_COUNTERS", "5")];
    let error = "CACHE_COUNTERS is 5; it must be less than CACHE_MAX_KEYS, which is 5";
    assert_eq!(message(&variables), error);
    let by_hand = Config::default().max_keys(5).counters(5).build();
    assert_eq!(by_hand.unwrap_err().to_string(), error);
    // Where no counters are held in memory it is not looked at.
    let elsewhere = [variables[0], variables[1], ("CACHE_BACKEND", "redis")];
    assert!(read(&elsewhere).is_ok());
}

/// One place is left for values, which the second of them takes from the first, and from no counter.
#[tokio::test]
async fn counters_reach_the_backend_in_memory() {
    let config = read(&[("CACHE_MAX_KEYS", "3"), ("CACHE_COUNTERS", "2")]);
    let backend = config.unwrap().build().unwrap();
    for counter in ["a", "b"] {
        assert_eq!(backend.incr(counter, Ttl::Never).await.unwrap(), 1);
    }
    for value in ["x", "y", "z"] {
        backend.set(value, "stored", Ttl::Never).await.unwrap();
    }
    for counter in ["a", "b"] {
        assert_eq!(backend.incr(counter, Ttl::Never).await.unwrap(), 2);
    }
    assert_eq!(backend.get::<String>("x").await.unwrap(), None);
}

#[tokio::test]
async fn bounds_of_responses_reach_the_backend_in_memory() {
    let backend = |variables: &[(&str, &str)]| read(variables).unwrap().build().unwrap();
    assert!(backend(&[]).for_responses().is_none());
    for variables in [
        [("CACHE_RESPONSES_MAX_KEYS", "2"), ("CACHE_MAX_KEYS", "9")],
        // The other is that of all else.
        [("CACHE_RESPONSES_MAX_BYTES", "99"), ("CACHE_MAX_KEYS", "2")],
    ] {
        let backend = backend(&variables);
        let responses = backend.for_responses().unwrap();
        for key in ["a", "b", "c"] {
            responses.set(key, "stored", Ttl::Never).await.unwrap();
        }
        let many = responses.get_many::<String>(&["a", "b", "c"]);
        let left = many.await.unwrap().into_iter().flatten().count();
        assert_eq!(left, 2, "{variables:?}");
    }
    for (config, name) in [
        (
            Config::default().responses(0, 1),
            "CACHE_RESPONSES_MAX_KEYS",
        ),
        (
            Config::default().responses(1, 0),
            "CACHE_RESPONSES_MAX_BYTES",
        ),
    ] {
        let error = config.build().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} is 0; ")), "{error}");
    }
}

#[test]
fn limits_of_loads_reach_the_backend() {
    let config = read(&[("CACHE_MAX_LOADS", "1"), ("CACHE_MAX_WAITING_LOADS", "0")]);
    let backend = config.unwrap().build().unwrap();
    let load = |key| {
        let loader = std::future::pending::<Result<u8, Error>>;
        backend.get_or_load(key, Ttl::Never, loader)
    };
    let mut runs = std::pin::pin!(load("a"));
    assert!(poll_once(runs.as_mut()).is_none());
    let mut refused = std::pin::pin!(load("b"));
    let refused = poll_once(refused.as_mut());
    assert!(refused.is_some_and(|answer| answer.unwrap_err().is_overloaded()));
}

#[test]
fn breakers_that_are_not_allowed() {
    let (config, hour) = (Config::default, Duration::from_secs(3600));
    let pause = "longer than zero, and an hour at most";
    for (config, message) in [
        (
            config().redis_breaker_threshold(0),
            "REDIS_BREAKER_THRESHOLD is 0; it must be a whole number, at least 1".to_owned(),
        ),
        (
            config().redis_breaker_pause(Duration::ZERO),
            format!("REDIS_BREAKER_PAUSE_MS is 0ns; it must be {pause}"),
        ),
        (
            config().redis_breaker_pause(2 * hour),
            format!("REDIS_BREAKER_PAUSE_MS is 7200s; it must be {pause}"),
        ),
    ] {
        assert_eq!(config.build().unwrap_err().to_string(), message);
    }
    assert_eq!(
        message(&[("REDIS_BREAKER_PAUSE_MS", "3600001")]),
        r#"REDIS_BREAKER_PAUSE_MS is "3600001"; it must be a whole number, at most 3600000"#
    );
}

/// What is set by hand is looked at when the backend is built.
#[test]
fn settings_of_the_near_tier_that_are_not_allowed() {
    let config = Config::default;
    for (config, name) in [
        (config().near_max_keys(0), "CACHE_NEAR_MAX_KEYS"),
        (config().near_max_bytes(0), "CACHE_NEAR_MAX_BYTES"),
        (config().near_ttl(Duration::ZERO), "CACHE_NEAR_TTL"),
        (
            config().near_max_staleness(Duration::ZERO),
            "CACHE_NEAR_STALENESS_MS",
        ),
    ] {
        let error = config.build().unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name} is 0; ")), "{error}");
    }
}

#[test]
fn a_malformed_url_is_an_error_without_its_password() {
    for url in ["", "localhost", "http://u:hunter2@h", "redis://", "hunter2"] {
        for backend in ["redis", "tiered"] {
            let message = message(&[("CACHE_BACKEND", backend), ("REDIS_URL", url)]);
            assert!(message.starts_with("REDIS_URL is "), "{message}");
            assert!(message.contains("redis://"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
    // Not asked for, not looked at.
    assert!(read(&[("REDIS_URL", "nowhere")]).is_ok());
}

#[cfg(not(feature = "redis"))]
#[test]
fn redis_without_its_feature_says_so() {
    for backend in ["redis", "tiered"] {
        let config = read(&[("CACHE_BACKEND", backend)]).unwrap();
        assert_eq!(
            config.build().unwrap_err().to_string(),
            format!(
                "CACHE_BACKEND is {backend:?}, which this program was built without; \
                 it must be memory, or nori-cache be built with its feature `redis`"
            )
        );
    }
}

/// Not a test of its own: what the child processes below run.
#[test]
fn child() {
    if std::env::var_os("NORI_TEST_CHILD").is_none() {
        return;
    }
    let config = match std::env::var_os("NORI_TEST_NO_FILE") {
        None => Config::from_env(),
        Some(_) => Config::from_process_env(),
    };
    match config {
        Ok(config) => println!("<{config:?}>"),
        Err(error) => println!("<{error}>"),
    }
    // What failed is tried again.
    assert_eq!(get_backend().is_err(), get_backend().is_err());
}

fn in_child(directory: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "config::child", "--nocapture"])
        .current_dir(directory)
        .env("NORI_TEST_CHILD", "1");
    for name in ["CACHE_BACKEND", "CACHE_MAX_KEYS", "CACHE_PREFIX"] {
        command.env_remove(name);
    }
    let Output { status, stdout, .. } = command.envs(variables.iter().copied()).output().unwrap();
    assert!(status.success());
    String::from_utf8(stdout).unwrap()
}

fn directory(name: &str, dot_env: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(directory.join("below")).unwrap();
    std::fs::write(directory.join(".env"), dot_env).unwrap();
    directory
}

#[test]
fn the_environment_comes_before_the_file() {
    let directory = directory(
        "order",
        "CACHE_MAX_KEYS=7\nCACHE_PREFIX='file: '\n# CACHE_BACKEND=x\n",
    );
    let shown = in_child(&directory, &[("CACHE_MAX_KEYS", "8")]);
    assert!(shown.contains("max_keys: 8"), "{shown}");
    assert!(shown.contains(r#"prefix: "file: ""#), "{shown}");
}

/// Whoever can write to a directory above does not choose the Redis of those below.
#[test]
fn a_file_in_a_directory_above_is_not_read() {
    let directory = directory("above", "CACHE_MAX_KEYS=7\nnot even a variable\n");
    let shown = in_child(&directory.join("below"), &[]);
    assert!(shown.contains("max_keys: 10000"), "{shown}");
}

#[test]
fn a_directory_of_that_name_is_not_read() {
    let directory = directory("virtual", "CACHE_MAX_KEYS=7\n");
    let below = directory.join("below");
    std::fs::create_dir_all(below.join(".env")).unwrap();
    let shown = in_child(&below, &[]);
    assert!(shown.contains("max_keys: 10000"), "{shown}");
}

#[test]
fn the_process_s_environment_can_be_all_there_is() {
    let directory = directory("alone", "CACHE_MAX_KEYS=7\nCACHE_PREFIX=file\n");
    let alone = ("NORI_TEST_NO_FILE", "1");
    let shown = in_child(&directory, &[alone, ("CACHE_MAX_KEYS", "8")]);
    assert!(shown.contains("max_keys: 8"), "{shown}");
    assert!(shown.contains(r#"prefix: "cache:""#), "{shown}");
    let shown = in_child(&directory, &[alone, ("CACHE_MAX_KEYS", "many")]);
    assert!(shown.contains(r#"<CACHE_MAX_KEYS is "many"; "#), "{shown}");
}

#[test]
fn a_bad_file_is_an_error_that_does_not_quote_it() {
    let directory = directory("bad", "CACHE_MAX_KEYS=7\nPASSWORD='hunter2\n");
    let shown = in_child(&directory, &[]);
    assert!(shown.contains("<.env is malformed"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn an_error_says_that_the_file_is_to_blame() {
    let directory = directory("value", "CACHE_BACKEND=memcache\n");
    let shown = in_child(&directory, &[]);
    assert!(
        shown.contains(
            r#"<CACHE_BACKEND is "memcache" (in .env); it must be memory, redis or tiered>"#
        ),
        "{shown}"
    );
    // What the process's environment says is not the file's fault.
    let shown = in_child(&directory, &[("CACHE_BACKEND", "disk")]);
    assert!(
        shown.contains(r#"<CACHE_BACKEND is "disk"; it must be memory, redis or tiered>"#),
        "{shown}"
    );
}
