//! Codecs on a real server: what is on the wire, and what somebody may do to it there.

use crate::server::{Server, shared_cluster};
use nori_cache::{CacheBackendExt, Codec, RedisCacheBackend, Ttl};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

fn on(url: String, prefix: &str, codec: &Codec) -> RedisCacheBackend {
    let builder = RedisCacheBackend::builder().url(url).prefix(prefix);
    // A budget that holds on a busy machine, too.
    let builder = builder.timeout(MINUTE).codec(codec.clone());
    builder.build().unwrap()
}

#[tokio::test]
async fn json_is_as_ever_and_all_else_has_a_header() {
    let server = Server::start();
    let backend = on(server.url(), "cache:", &Codec::json());
    backend.set("set", ("ü", 1.0), MINUTE).await.unwrap();
    backend.set_ref("ref", &("ü", 1.0), MINUTE).await.unwrap();
    let many = [("many", ("ü", 1.0))];
    backend.set_many(many, MINUTE).await.unwrap();
    let load = || async { Ok::<_, std::io::Error>(("ü".to_owned(), 1.0)) };
    backend.get_or_load("load", MINUTE, load).await.unwrap();
    let update = |_: Option<(String, f64)>| std::future::ready(("ü".to_owned(), 1.0));
    backend.atomic_update("update", None, update).await.unwrap();
    for key in ["set", "ref", "many", "load", "update"] {
        let stored = server.ask(&["GET", &format!("cache:{key}")]);
        assert_eq!(stored, r#"["ü",1.0]"#, "{key}");
    }

    let raw = backend.with_codec(&Codec::bytes());
    raw.set("raw", vec![1_u8, 2, 3], MINUTE).await.unwrap();
    assert_eq!(server.ask(&["STRLEN", "cache:raw"]), "11");
    assert_eq!(
        server.ask(&["GETRANGE", "cache:raw", "8", "-1"]),
        "\x01\x02\x03"
    );
    let long = vec![0xA5_u8; 1 << 20];
    raw.set_ref("raw", &long[..], MINUTE).await.unwrap();
    assert_eq!(
        server.ask(&["STRLEN", "cache:raw"]),
        ((1 << 20) + 8).to_string()
    );
    assert_eq!(raw.get::<bytes::Bytes>("raw").await.unwrap().unwrap(), long);

    // Numbers are counters in every codec.
    raw.set("n", 41, MINUTE).await.unwrap();
    assert_eq!(server.ask(&["INCR", "cache:n"]), "42");
    assert_eq!(raw.get::<u8>("n").await.unwrap(), Some(42));
}

/// What the Python original wrote is nothing to another codec, and stays.
#[tokio::test]
async fn entries_of_the_original_are_a_miss_for_others() {
    let server = Server::start();
    let entry = r#"{"name": "Ana", "age": 30}"#;
    server.ask(&["SET", "cache:dict", entry]);
    let versioned = on(server.url(), "cache:", &Codec::json().version(2));
    assert_eq!(
        versioned.get::<serde_json::Value>("dict").await.unwrap(),
        None
    );
    let raw = on(server.url(), "cache:", &Codec::bytes());
    assert_eq!(raw.get::<Vec<u8>>("dict").await.unwrap(), None);
    assert_eq!(raw.undecodable().foreign, 1);
    assert_eq!(server.ask(&["GET", "cache:dict"]), entry);
    // A load puts its own there.
    let load = || async { Ok::<_, std::io::Error>(b"new".to_vec()) };
    assert_eq!(raw.get_or_load("dict", MINUTE, load).await.unwrap(), b"new");
    assert_eq!(server.ask(&["GETRANGE", "cache:dict", "8", "-1"]), "new");
}

/// On a cluster, where many keys are many commands.
#[tokio::test]
async fn on_a_cluster_each_key_is_decoded_as_its_own() {
    let prefix = "codecs each key:";
    let json = on(shared_cluster().url(), prefix, &Codec::json());
    let raw = json.with_codec(&Codec::bytes());
    let keys: Vec<String> = (0..100).map(|nth| format!("key:{nth}")).collect();
    for (nth, key) in keys.iter().enumerate() {
        match nth % 2 {
            0 => json.set(key, key.clone(), MINUTE).await.unwrap(),
            _ => raw.set(key, key.clone(), MINUTE).await.unwrap(),
        }
    }
    let names: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (as_json, as_raw) = (
        json.get_many::<String>(&names),
        raw.get_many::<String>(&names),
    );
    for (nth, (json, raw)) in as_json
        .await
        .unwrap()
        .into_iter()
        .zip(as_raw.await.unwrap())
        .enumerate()
    {
        let (found, none) = if nth % 2 == 0 {
            (json, raw)
        } else {
            (raw, json)
        };
        assert_eq!((found, none), (Some(keys[nth].clone()), None));
    }
    assert_eq!(json.undecodable().foreign, 100);
}

#[cfg(feature = "encryption")]
mod encrypted {
    use super::*;
    use nori_cache::Keys;

    /// The bytes belong to their key, and to the prefix of their cache.
    #[tokio::test]
    async fn a_value_does_not_open_elsewhere() {
        let server = Server::start();
        let codec = Codec::json().encrypted(Keys::new(1, &[7; 32]));
        let shop = on(server.url(), "shop:", &codec);
        shop.set("ana", "secret", Ttl::Never).await.unwrap();
        for place in ["shop:bo", "other:ana", "shop:a:na", "shop:a:ana"] {
            server.ask(&["COPY", "shop:ana", place]);
        }
        assert_eq!(shop.get::<String>("ana").await.unwrap().unwrap(), "secret");
        assert_eq!(shop.get::<String>("bo").await.unwrap(), None);
        let other = on(server.url(), "other:", &codec);
        assert_eq!(other.get::<String>("ana").await.unwrap(), None);
        // The same key on the server, but not the same cache.
        let deeper = on(server.url(), "shop:a:", &codec);
        deeper.set("ana", "secret", Ttl::Never).await.unwrap();
        assert_eq!(shop.get::<String>("a:ana").await.unwrap(), None);
        assert_eq!(
            (shop.undecodable().forged, other.undecodable().forged),
            (2, 1)
        );
        let error = shop.strict().get::<String>("bo").await.unwrap_err();
        assert!(error.is_decoding(), "{error}");
        // A view's values belong to the same place.
        let view = on(server.url(), "shop:", &Codec::json());
        let view = view.with_codec(&codec);
        assert_eq!(view.get::<String>("ana").await.unwrap().unwrap(), "secret");
    }

    /// Nothing goes to the server in the clear, and nothing that lies there in the clear is taken for a value.
    #[tokio::test]
    async fn nothing_is_in_the_clear() {
        let server = Server::start();
        let codec = Codec::json().encrypted(Keys::new(1, &[7; 32]));
        let backend = on(server.url(), "cache:", &codec);
        backend.set("set", "secret", MINUTE).await.unwrap();
        backend.set("number", 123_456, MINUTE).await.unwrap();
        backend
            .set_many([("many", "secret")], MINUTE)
            .await
            .unwrap();
        let load = || async { Ok::<_, std::io::Error>("secret".to_owned()) };
        backend.get_or_load("load", MINUTE, load).await.unwrap();
        let update = |_: Option<String>| std::future::ready("secret".to_owned());
        for _ in 0..2 {
            backend.atomic_update("update", None, update).await.unwrap();
        }
        for key in ["set", "number", "many", "load", "update"] {
            let bytes = server.ask(&["GET", &format!("cache:{key}")]);
            assert!(
                !bytes.contains("secret") && !bytes.contains("123456"),
                "{key}"
            );
        }
        assert_eq!(backend.get::<u32>("number").await.unwrap(), Some(123_456));
        let plain = backend.with_codec(&Codec::json());
        assert!(
            plain
                .set("set", "secret", MINUTE)
                .await
                .unwrap_err()
                .is_encoding()
        );
        for (planted, as_what) in [("\"planted\"", "set"), ("7", "number"), ("planted", "load")] {
            server.ask(&["SET", &format!("cache:{as_what}"), planted]);
        }
        assert_eq!(backend.get::<String>("set").await.unwrap(), None);
        assert_eq!(backend.get::<u32>("number").await.unwrap(), None);
        assert_eq!(backend.get::<String>("load").await.unwrap(), None);
        let update = backend.atomic_update("set", None, update).await;
        assert!(update.unwrap_err().is_decoding());
        assert_eq!(backend.incr_by("number", 0, MINUTE).await.unwrap(), 7);
    }
}
