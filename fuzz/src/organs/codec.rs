//! Stored values of any bytes: never a panic, nothing that another codec takes as well, nothing that was not encrypted for one that
//! encrypts, and what reads as a value is written so that it reads the same.

use crate::backend::{Codec, Keys, Value};
use serde::{Deserialize, Serialize};

/// Recursive, as types are that may end a stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf,
    Number(i64),
    Text(String),
    Maybe(Option<Box<Tree>>),
    List(Vec<Tree>),
    Pair(Box<Tree>, Box<Tree>),
    Named { tree: Box<Tree> },
}

/// As loads keep values: of no validator and no tags.
const ENVELOPE: [u8; 21] = {
    let mut bytes = [0; 21];
    (bytes[0], bytes[1], bytes[2]) = (0xC1, b'K', 1);
    bytes
};

/// Reads the input as values, behind a header of each codec, and says whether it is one to any of them.
pub fn run(input: &[u8]) -> bool {
    let plain = [
        Codec::json().version(1),
        Codec::postcard(),
        Codec::postcard().version(1),
        Codec::msgpack(),
    ];
    let mut is_any = false;
    for codec in &plain {
        let header = header(codec);
        let bytes = [&header[..], input].concat();
        let enveloped = [&ENVELOPE[..], &bytes].concat();
        assert_eq!(read(codec, &enveloped).ok(), read(codec, &bytes).ok());
        let Ok(tree) = read(codec, &bytes) else {
            continue;
        };
        is_any = true;
        assert_eq!(read(codec, &write(codec, tree.clone())).unwrap(), tree);
        let takers = plain.iter().filter(|other| read(other, &bytes).is_ok());
        assert_eq!(takers.count(), 1, "{codec:?} and another");
    }
    // As it is, and behind a header of theirs.
    let encrypting = plain[1].clone().encrypted(Keys::new(1, &[7; 32]));
    let sealed = write(&encrypting, Tree::Leaf);
    for prefix in [0, 8, 12, 24, sealed.len() - 1] {
        let bytes = [&sealed[..prefix], input].concat();
        assert!(bytes == sealed || read(&encrypting, &bytes).is_err());
        let enveloped = [&ENVELOPE[..], &bytes].concat();
        assert!(read(&encrypting, &enveloped).is_err());
    }
    for prefix in [2, 3, 4, 20] {
        let bytes = [&ENVELOPE[..prefix], input].concat();
        let _ = read(&Codec::json(), &bytes);
        assert!(read(&encrypting, &bytes).is_err());
    }
    let _ = read(&Codec::json(), input);
    let _ = Codec::bytes()
        .found("key", Value::encoded(input))
        .to::<Vec<u8>>();
    is_any
}

fn read(codec: &Codec, bytes: &[u8]) -> Result<Tree, crate::error::Error> {
    codec.found("key", Value::encoded(bytes)).to()
}

fn write(codec: &Codec, tree: Tree) -> Vec<u8> {
    let value = Value::new(tree).expect("JSON has all of it");
    let stored = codec.to_stored("key", &value).expect("it was read");
    stored.encode().expect("it is encoded").into_owned()
}

/// What is in front of whatever this codec writes.
fn header(codec: &Codec) -> Vec<u8> {
    write(codec, Tree::Leaf)[..8].to_vec()
}
