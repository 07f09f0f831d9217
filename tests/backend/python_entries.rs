//! Entries exactly as the Python original wrote them to a real Redis (`fixtures/original-entries.json`: key → bytes), and what
//! we write, as it reads it.

use nori_cache::{CacheBackend, CacheBackendExt, MemoryCacheBackend, Ttl, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, json};

const ENTRIES: &str = include_str!("../fixtures/original-entries.json");

/// The entries, without the prefix, in a backend.
async fn entries() -> (MemoryCacheBackend, Vec<String>) {
    let entries: Map<String, serde_json::Value> = serde_json::from_str(ENTRIES).unwrap();
    let backend = MemoryCacheBackend::new(100);
    let mut keys = Vec::new();
    for (key, bytes) in entries {
        let key = key.strip_prefix("cache:").unwrap();
        let value = Value::encoded(bytes.as_str().unwrap());
        backend.set_value(key, value, Ttl::Never).await.unwrap();
        keys.push(key.to_owned());
    }
    (backend, keys)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Dict {
    name: String,
    age: u8,
    tags: (String, Option<String>, bool),
    ü: char,
    f: f32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Mixed {
    when: String,
    day: String,
    price: String,
    id: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Response {
    body_b64: Option<String>,
    body: Option<String>,
    status_code: u16,
    media_type: String,
}

#[tokio::test]
async fn what_it_wrote_reads_as_our_types() {
    let (backend, keys) = entries().await;
    assert_eq!(keys.len(), 10);
    assert_eq!(backend.get("py:counter").await.unwrap(), Some(3));
    assert_eq!(backend.get("py:forever").await.unwrap(), Some(1_u64));
    let plain = Some("plain".to_owned());
    assert_eq!(backend.get("py:str").await.unwrap(), plain);
    let raw = Some("plain-string-not-json".to_owned());
    assert_eq!(backend.get("py:raw").await.unwrap(), raw);
    let dict = Dict {
        name: "Ana".to_owned(),
        age: 30,
        tags: ("a".to_owned(), None, true),
        ü: '✓',
        f: 1.5,
    };
    assert_eq!(backend.get("py:dict").await.unwrap(), Some(dict));
    let mixed = Mixed {
        when: "2026-01-01T12:00:00".to_owned(),
        day: "2026-01-01".to_owned(),
        price: "19.99".to_owned(),
        id: "00000000-0000-0000-0000-000000000001".to_owned(),
    };
    assert_eq!(backend.get("py:mixed").await.unwrap(), Some(mixed));
    for key in keys.iter().filter(|key| !key.starts_with("py:")) {
        let response: Response = backend.get(key).await.unwrap().unwrap();
        assert_eq!(response.status_code, 200);
        // Older entries carry text instead.
        assert_eq!(response.body.is_some(), response.body_b64.is_none());
    }
    let old: Response = backend.get("view:/old:").await.unwrap().unwrap();
    assert_eq!(old.body.as_deref(), Some("viejo ü"));
}

#[tokio::test]
async fn its_counters_go_on_counting() {
    let (backend, _) = entries().await;
    assert_eq!(backend.incr("py:counter", Ttl::Never).await.unwrap(), 4);
    let error = backend.incr("py:str", Ttl::Never).await.unwrap_err();
    assert!(error.is_wrong_type());
}

/// Encoded, decoded as Python's `json` would: the same structure.
#[test]
fn what_we_write_is_plain_json() {
    let encoded = |value: Result<Value, nori_cache::Error>| {
        String::from_utf8(value.unwrap().encode().unwrap().into_owned()).unwrap()
    };
    assert_eq!(encoded(Value::new(3)), "3");
    assert_eq!(encoded(Value::new("plain")), r#""plain""#);
    assert_eq!(encoded(Value::new(1.0)), "1.0");
    assert_eq!(encoded(Value::new(None::<u8>)), "null");
    let dict = Dict {
        name: "Ana".to_owned(),
        age: 30,
        tags: ("a".to_owned(), None, true),
        ü: '✓',
        f: 1.5,
    };
    let text = encoded(Value::new(dict));
    let want = json!({"name": "Ana", "age": 30, "tags": ["a", null, true], "ü": "✓", "f": 1.5});
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        want
    );
}
