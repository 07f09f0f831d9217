//! Codecs: any value comes back, and no bytes do any harm, whoever wrote them.

use crate::codec::{Any, any_value};
use crate::watchdog::block_on;
use nori_cache::{CacheBackend, CacheBackendExt, Codec, MemoryCacheBackend, Ttl, Value};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::fmt::Debug;
use std::sync::Arc;

/// Every codec that is compiled in; each writes an [`Any`] otherwise than all others.
fn codecs() -> Vec<Codec> {
    let mut codecs = vec![Codec::json(), Codec::json().version(1)];
    optional::add(&mut codecs);
    codecs
}

/// What depends on features.
mod optional {
    use super::Codec;

    pub fn add(codecs: &mut Vec<Codec>) {
        postcard(codecs);
        msgpack(codecs);
        encryption(codecs);
        zstd(codecs);
    }

    #[cfg(feature = "postcard")]
    fn postcard(codecs: &mut Vec<Codec>) {
        codecs.extend([Codec::postcard(), Codec::postcard().version(1)]);
    }
    #[cfg(not(feature = "postcard"))]
    fn postcard(_: &mut Vec<Codec>) {}

    #[cfg(feature = "msgpack")]
    fn msgpack(codecs: &mut Vec<Codec>) {
        codecs.push(Codec::msgpack());
    }
    #[cfg(not(feature = "msgpack"))]
    fn msgpack(_: &mut Vec<Codec>) {}

    #[cfg(feature = "encryption")]
    fn encryption(codecs: &mut Vec<Codec>) {
        use nori_cache::Keys;
        let encrypted = codecs.clone();
        let encrypted = encrypted.into_iter().zip([1, 2].into_iter().cycle());
        codecs.extend(encrypted.map(|(codec, id)| codec.encrypted(Keys::new(id, &[7; 32]))));
    }
    #[cfg(not(feature = "encryption"))]
    fn encryption(_: &mut Vec<Codec>) {}

    /// In the place of one that is not compressed: most values are too small to tell them apart.
    #[cfg(feature = "zstd")]
    fn zstd(codecs: &mut [Codec]) {
        for codec in codecs.iter_mut().skip(1).step_by(2) {
            *codec = codec.clone().zstd_above(32);
        }
    }
    #[cfg(not(feature = "zstd"))]
    fn zstd(_: &mut [Codec]) {}
}

/// The bytes that a backend of this codec stores.
fn bytes_of<T>(codec: &Codec, value: T) -> Result<Vec<u8>, nori_cache::Error>
where
    T: Serialize + Send + Sync + 'static,
{
    let backend = MemoryCacheBackend::new(1);
    block_on(async {
        backend
            .with_codec(codec)
            .set("key", value, Ttl::Never)
            .await?;
        let stored = backend.get_value("key").await?.unwrap();
        Ok(stored.encode()?.into_owned())
    })
}

fn read<T>(codec: &Codec, bytes: &[u8]) -> Result<T, nori_cache::Error>
where
    T: serde::de::DeserializeOwned + Clone + 'static,
{
    codec.found("key", Value::encoded(bytes)).to()
}

proptest! {
    #[test]
    fn any_value_comes_back_and_from_its_own_codec_only(value in any_value()) {
        let codecs = codecs();
        for (nth, codec) in codecs.iter().enumerate() {
            let Ok(bytes) = bytes_of(codec, value.clone()) else {
                prop_assert!(!value.is_sayable());
                continue;
            };
            for (other, reader) in codecs.iter().enumerate() {
                let got = read::<Any>(reader, &bytes);
                if nth != other {
                    prop_assert!(got.is_err(), "{reader:?} reads what {codec:?} wrote");
                } else if value.is_sayable() {
                    prop_assert_eq!(&got.unwrap(), &value);
                } else {
                    prop_assert!(got.is_ok());
                }
            }
            // JSON begins like JSON, and nothing else does.
            prop_assert_eq!(nth == 0, std::str::from_utf8(&bytes).is_ok());
        }
    }

    #[test]
    fn any_bytes_come_back(bytes in any::<Vec<u8>>(), text in any::<String>()) {
        let codec = Codec::bytes();
        for stored in [
            bytes_of(&codec, bytes.clone()).unwrap(),
            bytes_of(&codec, bytes::Bytes::from(bytes.clone())).unwrap(),
            bytes_of(&codec, serde_bytes::ByteBuf::from(bytes.clone())).unwrap(),
        ] {
            prop_assert_eq!(&stored[8..], &bytes);
            prop_assert_eq!(&read::<Vec<u8>>(&codec, &stored).unwrap(), &bytes);
            prop_assert_eq!(&read::<bytes::Bytes>(&codec, &stored).unwrap(), &bytes);
            prop_assert_eq!(&read::<serde_bytes::ByteBuf>(&codec, &stored).unwrap()[..], &bytes);
            let text = std::str::from_utf8(&bytes).ok();
            let read = read::<String>(&codec, &stored).ok();
            prop_assert_eq!(read.as_deref(), text);
        }
        let stored = bytes_of(&codec, text.clone()).unwrap();
        prop_assert_eq!(read::<String>(&codec, &stored).unwrap(), text);
    }

    #[test]
    fn no_bytes_do_any_harm(bytes in any::<Vec<u8>>(), format in 0..6_u8, flags in 0..4_u8) {
        let header = [0xC1, b'N', format, flags, 0, 0, 0, 0];
        let behind = [&header[..], &bytes].concat();
        for codec in codecs().iter().chain([&Codec::bytes()]) {
            for bytes in [&bytes, &behind] {
                let _ = read::<Any>(codec, bytes);
                let _ = read::<Vec<Option<String>>>(codec, bytes);
                let got = read::<Vec<u8>>(codec, bytes);
                prop_assert!(!codec.encrypts() || got.is_err());
                let _ = read::<u64>(codec, bytes);
            }
        }
    }

    #[test]
    fn what_was_changed_does_no_harm(
        value in any_value(),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
        cut in any::<bool>(),
    ) {
        for codec in &codecs() {
            let Ok(mut bytes) = bytes_of(codec, value.clone()) else {
                continue;
            };
            let at = at.index(bytes.len());
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= change;
            }
            let got = read::<Any>(codec, &bytes);
            prop_assert!(!codec.encrypts() || got.is_err(), "{codec:?}");
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Node(Box<Tree>),
    Pair(Box<Tree>, Box<Tree>),
    Field { tree: Box<Tree> },
    List(Vec<Tree>),
    Maybe(Option<Box<Tree>>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Linked(Option<Box<Linked>>);

/// The levels that a stack has room for are those that are read.
#[test]
fn what_is_as_deep_as_allowed_comes_back_and_what_is_deeper_is_refused() {
    fn is_bounded<T>(codec: &Codec, nested: impl Fn(usize) -> T)
    where
        T: Serialize
            + serde::de::DeserializeOwned
            + Clone
            + PartialEq
            + Debug
            + Send
            + Sync
            + 'static,
    {
        let fits = |levels: usize| bytes_of(codec, nested(levels));
        let deepest = (1..300).rev().find(|levels| fits(*levels).is_ok()).unwrap();
        assert!((20..=127).contains(&deepest), "{codec:?}: {deepest}");
        for levels in 1..=deepest {
            let bytes = fits(levels).unwrap();
            assert_eq!(
                read::<T>(codec, &bytes).unwrap(),
                nested(levels),
                "{codec:?}: {levels}"
            );
        }
        assert!(fits(deepest + 1).unwrap_err().is_encoding());
    }
    fn tree(levels: usize, wrap: impl Fn(Box<Tree>) -> Tree) -> Tree {
        (0..levels).fold(Tree::Leaf, |inner, _| wrap(inner.into()))
    }
    for codec in &codecs() {
        is_bounded(codec, |levels| tree(levels, Tree::Node));
        is_bounded(codec, |levels| {
            tree(levels, |it| Tree::Pair(Tree::Leaf.into(), it))
        });
        is_bounded(codec, |levels| tree(levels, |tree| Tree::Field { tree }));
        is_bounded(codec, |levels| tree(levels, |it| Tree::List(vec![*it])));
        is_bounded(codec, |levels| tree(levels, |it| Tree::Maybe(Some(it))));
    }
    for codec in codecs()
        .iter()
        .filter(|codec| format!("{codec:?}").contains("postcard"))
    {
        is_bounded(codec, |levels| {
            (0..levels).fold(Linked(None), |inner, _| Linked(Some(inner.into())))
        });
    }
}

/// A megabyte of the same byte: levels upon levels, if anything.
#[test]
fn bytes_that_nest_do_not_end_the_stack() {
    for codec in codecs().iter().filter(|codec| !codec.encrypts()) {
        let header = bytes_of(codec, true).unwrap();
        let header = if header[0] == 0xC1 { &header[..8] } else { &[] };
        for byte in 0..=255 {
            let bytes = [header, &vec![byte; 1 << 20]].concat();
            let _ = read::<Tree>(codec, &bytes);
            if !format!("{codec:?}").contains("JSON") {
                // In JSON nothing stands for an option that is there: this type nests whatever the bytes are.
                let _ = read::<Linked>(codec, &bytes);
            }
            let _ = read::<Any>(codec, &bytes);
        }
    }
}

/// Things that take no bytes can be many.
#[test]
fn a_list_of_nothings_has_an_end() {
    for codec in codecs().iter().filter(|codec| !codec.encrypts()) {
        let header = bytes_of(codec, true).unwrap();
        let many = [&header[..8.min(header.len())], &[0xff; 9], &[1]].concat();
        let limited = codec.clone().limit(1_000);
        assert!(read::<Vec<()>>(&limited, &many).is_err(), "{codec:?}");
        let some = bytes_of(&limited, vec![(); 1_000]).unwrap();
        assert_eq!(
            read::<Vec<()>>(&limited, &some).unwrap().len(),
            1_000,
            "{codec:?}"
        );
    }
}

#[cfg(feature = "msgpack")]
#[test]
fn messagepack_structs_may_grow() {
    #[derive(Clone, Serialize)]
    struct Before {
        name: String,
        gone: u8,
    }
    #[derive(Debug, Clone, PartialEq, Deserialize)]
    struct After {
        #[serde(default)]
        new: u64,
        name: String,
    }
    let before = Before {
        name: "ana".to_owned(),
        gone: 7,
    };
    let bytes = bytes_of(&Codec::msgpack(), before).unwrap();
    let after = After {
        new: 0,
        name: "ana".to_owned(),
    };
    assert_eq!(read::<After>(&Codec::msgpack(), &bytes).unwrap(), after);
}

/// The bytes of each codec, as they are for ever: others read them, and later versions of this crate.
#[cfg(all(
    feature = "postcard",
    feature = "msgpack",
    feature = "encryption",
    feature = "zstd"
))]
#[test]
fn the_bytes_of_each_codec() {
    use nori_cache::Keys;
    let value = || (-1_i8, "a".to_owned());
    let hex = |codec: &Codec| {
        let bytes = bytes_of(codec, value()).unwrap();
        bytes
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let header = "c14e";
    assert_eq!(bytes_of(&Codec::json(), value()).unwrap(), b"[-1,\"a\"]");
    let version = Codec::json().version(0x0102_0304);
    assert_eq!(
        hex(&version),
        format!("{header}0100010203045b2d312c2261225d")
    );
    assert_eq!(
        hex(&Codec::postcard()),
        format!("{header}030000000000ff0161")
    );
    assert_eq!(
        hex(&Codec::msgpack()),
        format!("{header}04000000000092ffa161")
    );
    let raw = bytes_of(&Codec::bytes(), vec![0_u8, 255]).unwrap();
    assert_eq!(raw, b"\xC1N\x02\0\0\0\0\0\x00\xff");
    let compressed = bytes_of(&Codec::bytes().zstd_above(64), vec![0_u8; 65]).unwrap();
    assert_eq!(compressed[..12], *b"\xC1N\x02\x01\0\0\0\0\x28\xB5\x2F\xFD");
    // Under a key of zeros, for "key" without a prefix; made by another implementation of AES-256-GCM.
    let sealed = *include_bytes!("../fixtures/sealed.bin");
    let codec = Codec::postcard()
        .version(5)
        .encrypted(Keys::new(9, &[0; 32]));
    assert_eq!(sealed[..12], *b"\xC1N\x03\x02\0\0\0\x05\0\0\0\x09");
    assert_eq!(read::<(i8, String)>(&codec, &sealed).unwrap(), value());
    let shop = codec.clone().for_prefix("shop:");
    let sealed = *include_bytes!("../fixtures/sealed-in-shop.bin");
    assert!(read::<(i8, String)>(&codec, &sealed).is_err());
    assert_eq!(read::<(i8, String)>(&shop, &sealed).unwrap(), value());
}

#[cfg(all(feature = "encryption", feature = "redis"))]
#[test]
fn keys_are_shown_nowhere() {
    use nori_cache::{Keys, RedisCacheBackend};
    let keys = Keys::new(1, b"hunter2 hunter2 hunter2 hunter2 ");
    let keys = keys.and(2, &[0x6B; 32]).unwrap();
    let codec = Codec::json().encrypted(keys.clone());
    let memory = MemoryCacheBackend::builder().codec(codec.clone());
    let redis = RedisCacheBackend::builder().codec(codec.clone());
    let shown = [
        format!("{keys:?}"),
        format!("{codec:#?}"),
        format!(
            "{memory:?} {:?}",
            MemoryCacheBackend::new(1).with_codec(&codec)
        ),
        format!("{redis:?} {:?}", redis.clone().build().unwrap()),
    ];
    for shown in shown {
        assert!(
            !shown.contains("hunter2") && !shown.contains("104, 117"),
            "{shown}"
        );
        assert!(
            !shown.contains("107, 107") && !shown.contains("6b6b"),
            "{shown}"
        );
        assert!(shown.contains('1') && shown.contains('2'), "{shown}");
    }
    let twice = keys.and(2, &[0; 32]).unwrap_err();
    assert!(twice.is_invalid_config());
    assert_eq!(
        twice.to_string(),
        "the id of a key is 2; it must be another one for each key"
    );
}

/// A backend that encrypts stores nothing in the clear, whoever asks it to.
#[cfg(feature = "encryption")]
#[test]
fn a_backend_that_encrypts_stores_nothing_in_the_clear() {
    use nori_cache::Keys;
    let codec = Codec::json().encrypted(Keys::new(1, &[7; 32]));
    let backend = MemoryCacheBackend::builder().codec(codec).build().unwrap();
    block_on(async {
        let plain = backend.with_codec(&Codec::json());
        assert!(
            plain
                .set("key", "text", Ttl::Never)
                .await
                .unwrap_err()
                .is_encoding()
        );
        let value = || Value::encoded(*b"\"text\"");
        let set = backend.set_value("key", value(), Ttl::Never).await;
        assert!(set.unwrap_err().is_encoding());
        let set = backend.set_values(vec![("key", value())], Ttl::Never).await;
        assert!(set.unwrap_err().is_encoding());
        let set = backend.compare_and_set("key", None, value(), None).await;
        assert!(set.unwrap_err().is_encoding());
        assert!(backend.is_empty());
        // Typed values that go around the typed calls are encrypted.
        let value = Value::new("text").unwrap();
        backend.set_value("key", value, Ttl::Never).await.unwrap();
        let stored = backend.get_value("key").await.unwrap().unwrap();
        assert!(
            !stored
                .encode()
                .unwrap()
                .windows(4)
                .any(|part| part == b"text")
        );
        assert_eq!(stored.to::<String>().unwrap(), "text");
        assert_eq!(backend.get::<String>("key").await.unwrap().unwrap(), "text");
    });
}

/// What a view of one kind hands to a backend of another is bytes to it.
#[test]
fn a_view_leaves_nothing_behind_that_others_could_read() {
    let backend: Arc<dyn CacheBackend> = Arc::new(MemoryCacheBackend::new(10));
    let codec = Codec::json().version(3);
    block_on(async {
        let view = backend.with_codec(&codec);
        view.set("a", "text", Ttl::Never).await.unwrap();
        // By way of the store's own calls, too.
        let found = view.get_value("a").await.unwrap().unwrap();
        assert_eq!(found.to::<String>().unwrap(), "text");
        backend.set_value("b", found, Ttl::Never).await.unwrap();
        for key in ["a", "b"] {
            assert_eq!(backend.get::<String>(key).await.unwrap(), None);
            assert_eq!(view.get::<String>(key).await.unwrap().unwrap(), "text");
        }
        let value = Value::new("text").unwrap();
        view.set_value("c", value.clone(), Ttl::Never)
            .await
            .unwrap();
        assert!(view.compare_and_set("d", None, value, None).await.unwrap());
        for key in ["c", "d"] {
            assert_eq!(backend.get::<String>(key).await.unwrap(), None);
            assert_eq!(view.get::<String>(key).await.unwrap().unwrap(), "text");
        }
        assert_eq!(backend.undecodable().foreign, 4);
    });
}
