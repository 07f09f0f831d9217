//! What cannot be read is never taken for permission: a response whose Cache-Control is not as RFC 9111 §5.2 has it, from
//! its first byte to its last, is not stored, in both modes.

use crate::support::{Cached, Runs, World, cached, constant, get, modes, with};
use http::{HeaderMap, HeaderName, HeaderValue};
use nori_cache::response::CacheResponse;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Another path for each question.
static PATHS: AtomicUsize = AtomicUsize::new(0);

/// A handler whose responses have these lines of a field, whatever bytes they are.
async fn is_stored(layer: &CacheResponse, name: &'static str, lines: &[&[u8]]) -> bool {
    let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.to_vec()).collect();
    let mut headers = HeaderMap::new();
    for line in &lines {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(line).unwrap(),
        );
    }
    let service = cached(layer, &Runs::default(), move |_, run| {
        let headers = headers.clone();
        async move {
            let mut response = with(&[], format!("run {run}"));
            *response.headers_mut() = headers;
            response
        }
    });
    let path = format!("/{}", PATHS.fetch_add(1, SeqCst));
    let first = service.get(&path).await;
    let second = service.get(&path).await;
    assert!(!first.is_hit());
    assert_eq!(second.is_hit(), second.text() == first.text());
    assert_eq!(
        first.headers.get_all(name).iter().count(),
        lines.len(),
        "as it is"
    );
    second.is_hit()
}

/// What must not be stored, beside what would be without it.
const REFUSED: [&str; 86] = [
    "private;",
    "private; max-age=60",
    "no-store;",
    "no-store; private",
    "no-cache;no-store",
    "no-store no-cache",
    "private max-age=60",
    "\"private\"",
    "'no-store'",
    "no_store",
    "private\u{a0}",
    "\u{a0}private",
    "max-age=60; private",
    "max-age=60 private",
    "max-age=60 no-store",
    "max-age=60;no-store",
    "max-age=60\tno-store",
    "public; private",
    "public;",
    "private=\"set-cookie",
    "private=\"set-cookie\\\"",
    "private=set-cookie\"",
    "private=\"a\"b",
    "private=\"a\" b",
    "private = \"a\"",
    "private =\"a\"",
    "private=",
    "=private",
    "=",
    "private:",
    "private/",
    "(private)",
    "[private]",
    "{private}",
    "<private>",
    "private?",
    "private@",
    "private\\",
    "private\u{e9}",
    "priv\u{e4}te",
    "privat\u{435}",
    "\u{201c}private\u{201d}",
    "\u{feff}private",
    "no\u{2011}store",
    "no store",
    "no-store:",
    "no-store=",
    "no-store: true",
    "NO_STORE",
    "No_Cache",
    "nostore",
    "nocache",
    "no--store",
    "no.store",
    "-no-store",
    "no-store-",
    "'private'",
    "`private`",
    "*private*",
    "private!",
    "#private",
    "private|no-store",
    "private&no-store",
    "x-private",
    "private-ish",
    "do-not-store",
    "dont-cache",
    "uncacheable",
    "none",
    "must_revalidate",
    "mustrevalidate",
    "max_age=0",
    "maxage=0",
    "smaxage=0",
    "s-max-age=0",
    "max-age:0",
    "max-age=0;",
    "max-age=",
    "max-age",
    "max-age=x",
    "max-age=1 0",
    "max-age='0'",
    "s-maxage=x",
    "s-maxage",
    "ext=\"unterminated",
    "ext=a b",
];

#[tokio::test]
async fn what_cannot_be_parsed_whole_is_not_stored() {
    for world in World::both() {
        for layer in modes(&world) {
            for value in REFUSED {
                let value = value.as_bytes();
                let good: &[u8] = b"max-age=60";
                let alone = [value, b", ", good].concat();
                let behind = [good, b",", value].concat();
                let in_a_list = [b"public,", value, b", max-age=60, s-maxage=60"].concat();
                for lines in [
                    &[&alone[..]][..],
                    &[&behind],
                    &[&in_a_list],
                    &[value, good],
                    &[good, value],
                    &[good, b"foo", value, b"public"],
                ] {
                    let shown: Vec<_> = lines
                        .iter()
                        .map(|line| String::from_utf8_lossy(line))
                        .collect();
                    let stored = is_stored(&layer, "cache-control", lines).await;
                    assert!(!stored, "{shown:?}");
                }
            }
        }
    }
}

/// Without a word on how long, timed mode would store it.
#[tokio::test]
async fn in_timed_mode_it_is_enough_that_it_is_there() {
    let world = World::memory();
    for stale in [Duration::ZERO, Duration::from_secs(600)] {
        let layer = world
            .timed(60)
            .stale_while_revalidate(stale)
            .stale_if_error(stale);
        for value in REFUSED {
            assert!(
                !is_stored(&layer, "cache-control", &[value.as_bytes()]).await,
                "{value}"
            );
        }
        for byte in (0x21..=0xff).filter(|byte| *byte != 0x7f) {
            let is_token =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            // Of any byte that is not part of a word, in a directive of no meaning.
            let value = [b"fo", &[byte][..], b"o"].concat();
            let want = is_token(byte) || byte == b',' || byte == b'=';
            let stored = is_stored(&layer, "cache-control", &[&value]).await;
            assert_eq!(stored, want, "{}", String::from_utf8_lossy(&value));
            let value = [b"no-store", &[byte][..]].concat();
            assert!(!is_stored(&layer, "cache-control", &[&value]).await);
            let value = [&[byte][..], b"private"].concat();
            assert!(!is_stored(&layer, "cache-control", &[&value]).await);
        }
    }
}

#[tokio::test]
async fn rfc9111_5_2_3_what_is_well_formed_is_stored_whatever_it_means() {
    for world in World::both() {
        for layer in modes(&world) {
            for value in [
                "max-age=60",
                "MAX-AGE=60",
                "max-age=\"60\"",
                " max-age=60 ",
                ",, max-age=60 ,,",
                "max-age=60,",
                "max-age=60, max-age=60",
                "max-age=60, max-age=50",
                "max-age=60, immutable",
                "max-age=60, no-transform",
                "max-age=60, community=\"UCI\"",
                "max-age=60, ext=\"a, \\\" private; no-store\"",
                "max-age=60, ext=\"\"",
                "max-age=60, pre-check=0, post-check=0",
                "max-age=60, x",
                "max-age=60, a!#$%&'*+.^_`|~9=b",
                "max-age=99999999999999999999",
                "max-age=60, stale-while-revalidate=5, stale-if-error=5",
                "max-age=60, proxy-revalidate",
                "public\t,\tmax-age=60",
            ] {
                assert!(
                    is_stored(&layer, "cache-control", &[value.as_bytes()]).await,
                    "{value}"
                );
            }
        }
    }
}

/// Of permissions, too, only whole ones hold.
#[tokio::test]
async fn a_broken_permission_opens_nothing_to_those_with_authorization() {
    for world in World::both() {
        for layer in modes(&world) {
            for said in [
                "public;",
                "public=x",
                "public=\"x\"",
                "public=",
                "'public'",
                "s-maxage=x",
                "s-maxage=",
                "s-maxage=\"60",
                "s-maxage=60;",
                "must-revalidate=1",
                "must-revalidate;",
                "must_revalidate",
                "\"public\"",
                "public private",
            ] {
                let said = format!("max-age=60, {said}");
                let service = cached(&layer, &Runs::default(), move |_, run| {
                    let response = with(&[("cache-control", &said)], format!("run {run}"));
                    async move { response }
                });
                let ana = service.get_with("/", &[("authorization", "ana")]).await;
                let bo = service.get_with("/", &[("authorization", "bo")]).await;
                assert_eq!((ana.text(), bo.text()), ("run 1", "run 2"));
            }
        }
    }
}

/// RFC 9213 §2.1 has a broken one ignored, in favour of Cache-Control; but not if it seems to forbid.
#[tokio::test]
async fn a_broken_targeted_field_that_seems_to_forbid_does() {
    for world in World::both() {
        let layer = world.by_headers().cdn_cache_control(true);
        for (said, want) in [
            ("no-store;", false),
            ("no-store; private", false),
            ("private;", false),
            ("No-Store", false),
            ("max-age=60, PRIVATE", false),
            ("no-cache;no-store", false),
            ("no_store, &", false),
            ("'private'", false),
            ("\u{a0}no-store", false),
            ("private, max-age=60", false),
            ("max-age=60, no-store=1", false),
            ("max-age=60, no_store", false),
            ("max-age=60, nocache", false),
            ("max-age=60", true),
            ("max-age=60, &&&&", true),
            ("max-age=", true),
        ] {
            let service = cached(&layer, &Runs::default(), move |_, run| async move {
                let mut response = with(&[("cache-control", "max-age=60")], format!("run {run}"));
                let said = HeaderValue::from_bytes(said.as_bytes()).unwrap();
                response.headers_mut().insert("cdn-cache-control", said);
                response
            });
            let path = format!("/{}", said.len());
            service.get(&path).await;
            assert_eq!(service.get(&path).await.is_hit(), want, "{said}");
            layer.purge_key(&format!("view:{path}:")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn pragma_counts_where_the_routes_owner_says_how_long() {
    let world = World::memory();
    for (said, want) in [
        ("no-cache", false),
        ("No-Cache", false),
        ("x, no-cache", false),
        ("no-cache;", false),
        ("no_cache", false),
        ("\u{a0}", false),
        ("public", true),
        ("x=y", true),
    ] {
        let stored = is_stored(&world.timed(60), "pragma", &[said.as_bytes()]).await;
        assert_eq!(stored, want, "{said}");
    }
}

/// What is no date has expired (RFC 9111 §5.3): nobody is given it stale either.
#[tokio::test]
async fn an_expires_that_is_no_date_is_never_served_stale() {
    for world in World::both() {
        let window = Duration::from_secs(600);
        for layer in modes(&world) {
            let layer = layer.stale_while_revalidate(window).stale_if_error(window);
            for said in [
                "0",
                "-1",
                "never",
                "",
                "Thu, 99 Xyz 2999 99:99:99 GMT",
                "\u{a0}",
            ] {
                assert!(
                    !is_stored(&layer, "expires", &[said.as_bytes()]).await,
                    "{said}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_vary_that_is_no_list_of_names_is_not_stored() {
    let world = World::memory();
    for said in [
        "accept;cookie",
        "accept cookie",
        "\"cookie\"",
        "cookie\u{a0}",
        "(cookie)",
        "cookie=1",
        "**",
        "*cookie",
        "accept, *;",
        "cookie:",
    ] {
        assert!(
            !is_stored(&world.timed(60), "vary", &[said.as_bytes()]).await,
            "{said}"
        );
    }
    assert!(is_stored(&world.timed(60), "vary", &[b"accept,, cookie ,"]).await);
}

/// A client that may have asked for care gets it: its request is neither answered from what is stored, nor its response stored.
#[tokio::test]
async fn a_requests_broken_directives_are_taken_for_the_strictest() {
    for world in World::both() {
        let layer = world.by_headers();
        let runs = Runs::default();
        let service = constant(&layer, &runs, &[("cache-control", "max-age=60")]);
        service.get("/").await;
        for said in [
            "no-store;",
            "only-if-cached;",
            "only-if-cached, x y",
            "only_if_cached",
            "only-if-cached=1",
            "max-stale;, only-if-cached",
            "no-cache;",
            "\"no-store\"",
            "max-age=60 no-store",
            "max-stale=x",
            "min-fresh=",
        ] {
            let before = runs.count();
            let got = service.get_with("/", &[("cache-control", said)]).await;
            assert_eq!((got.status, runs.count()), (200, before + 1), "{said}");
            let new = service.get_with("/new", &[("cache-control", said)]).await;
            assert_eq!(new.status, 200, "{said}");
            let stored = service
                .get_with("/new", &[("cache-control", "only-if-cached")])
                .await;
            assert_eq!(stored.status, 504, "{said}");
        }
        assert_eq!(service.get("/").await.text(), "run 1");
        // In timed mode clients have no say.
        let timed = constant(&world.timed(60), &Runs::default(), &[]);
        timed.get("/timed").await;
        let mut request = get("/timed", &[]);
        let said = HeaderValue::from_bytes(b"no-store;\xa0").unwrap();
        request.headers_mut().insert("cache-control", said);
        assert!(timed.ask(request).await.is_hit());
    }
}

#[tokio::test]
async fn long_ones_are_read_to_their_end() {
    let world = World::memory();
    let layer = world.timed(60);
    // Not much longer ones are stored at all.
    let long = "x,".repeat(20_000);
    for (end, want) in [
        ("x", true),
        ("private", false),
        ("private;", false),
        ("\"", false),
    ] {
        let value = format!("{long}{end}");
        assert_eq!(
            is_stored(&layer, "cache-control", &[value.as_bytes()]).await,
            want,
            "{end}"
        );
    }
    let name = "x".repeat(40_000);
    assert!(is_stored(&layer, "cache-control", &[name.as_bytes()]).await);
    for end in ["-no-store", "private", "_Private"] {
        let name = format!("{name}{end}");
        assert!(
            !is_stored(&layer, "cache-control", &[name.as_bytes()]).await,
            "{end}"
        );
    }
}
