//! What a bomb costs: a few bytes that would become a gigabyte.

use crate::TURN;
use crate::counting::largest;
use nori_cache::{Codec, Value};

const GIB: u64 = 1 << 30;
/// The largest block of zstd's.
const BLOCK: u64 = 128 << 10;

/// A frame of zeros, in blocks that say 'this byte, so many times'. `size`: what it says that it becomes, if it says so.
fn zeros(len: u64, size: Option<u64>) -> Vec<u8> {
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD];
    match size {
        // Eight bytes of size, and the window is as large.
        Some(size) => {
            frame.push(0b1110_0000);
            frame.extend(size.to_le_bytes());
        }
        // No size, and a window of 128 KiB.
        None => frame.extend([0, 7 << 3]),
    }
    let blocks = len.div_ceil(BLOCK);
    for block in 1..=blocks {
        let last = u64::from(block == blocks);
        let header = last | 1 << 1 | BLOCK << 3;
        frame.extend(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

fn stored(frame: &[u8]) -> Value {
    let codec = Codec::bytes().zstd_above(0);
    let header = [0xC1, b'N', 2, 1, 0, 0, 0, 0];
    codec.found("key", Value::encoded([&header, frame].concat()))
}

#[test]
fn a_bomb_is_refused_before_it_takes_memory() {
    let _turn = TURN.blocking_lock();
    let bomb = stored(&zeros(GIB, Some(GIB)));
    let silent = stored(&zeros(GIB, None));
    let liars = [0, 1, BLOCK, 1 << 20, 64 << 20].map(|size| stored(&zeros(GIB, Some(size))));
    // Says that it becomes as much as is allowed, and has not the bytes for it.
    let hollow = stored(&zeros(BLOCK, Some(64 << 20)));
    let took = |value: &Value| {
        largest(|| {
            let error = value.to::<Vec<u8>>().unwrap_err();
            assert!(error.is_decoding(), "{error}");
        })
    };
    for value in [&bomb, &silent, &hollow] {
        let took = took(value);
        assert!(took < 64 << 10, "{took} bytes");
    }
    for liar in &liars {
        let took = took(liar);
        assert!(took <= (64 << 20) + 1024, "{took} bytes");
    }
    let honest = stored(&zeros(1 << 20, Some(1 << 20)));
    assert_eq!(honest.to::<Vec<u8>>().unwrap(), vec![0; 1 << 20]);
}

#[test]
fn encoding_by_reference_clones_nothing() {
    let _turn = TURN.blocking_lock();
    use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
    #[derive(serde::Serialize, Debug)]
    struct NeverCloned(String);
    impl Clone for NeverCloned {
        fn clone(&self) -> Self {
            panic!("it was cloned")
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.build().unwrap();
    let backend = MemoryCacheBackend::builder().codec(Codec::json());
    let backend = backend.build().unwrap();
    let value = NeverCloned("text".to_owned());
    runtime
        .block_on(backend.set_ref("key", &value, Ttl::Never))
        .unwrap();
    let read = runtime.block_on(backend.get::<String>("key"));
    assert_eq!(read.unwrap().unwrap(), "text");
}
