//! [`Format`]: how a value becomes bytes, before they are compressed and encrypted.

use super::{bytes, json, msgpack, postcard};
use crate::error::Error;
use serde_core::{Serialize, de::DeserializeOwned};

/// A 64-bit integer, as decimal text. No format of its own: what every codec has for integers.
pub(super) const INTEGER: u8 = 0;

/// A variant that is not compiled in has a field without a value, and so cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "postcard", feature = "msgpack")), allow(dead_code))]
pub(in crate::backend) enum Format {
    Json,
    Bytes,
    Postcard(postcard::Enabled),
    MsgPack(msgpack::Enabled),
}

impl Format {
    /// As headers have it. A number never changes its meaning.
    pub(super) fn id(self) -> u8 {
        match self {
            Self::Json => 1,
            Self::Bytes => 2,
            Self::Postcard(_) => 3,
            Self::MsgPack(_) => 4,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Bytes => "bytes",
            Self::Postcard(_) => "postcard",
            Self::MsgPack(_) => "MessagePack",
        }
    }

    /// Writes a value behind what is in `out`.
    pub(in crate::backend) fn encode<T>(self, value: &T, out: Vec<u8>) -> Result<Vec<u8>, Error>
    where
        T: Serialize + ?Sized,
    {
        match self {
            Self::Json => json::encode_to(value, out),
            Self::Bytes => bytes::encode(value, out),
            Self::Postcard(enabled) => postcard::encode(enabled, value, out),
            Self::MsgPack(enabled) => msgpack::encode(enabled, value, out),
        }
    }

    /// Reads all of the bytes as a `T` of `elements` parts at most.
    pub(super) fn decode<T>(self, bytes: &[u8], elements: usize) -> Result<T, Error>
    where
        T: DeserializeOwned,
    {
        match self {
            Self::Json => json::decode_json(bytes),
            Self::Bytes => bytes::decode(bytes),
            Self::Postcard(enabled) => postcard::decode(enabled, bytes, elements),
            Self::MsgPack(enabled) => msgpack::decode(enabled, bytes, elements),
        }
    }
}
