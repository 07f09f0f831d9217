//! One entry of a snapshot.
//!
//! | bytes | |
//! |---|---|
//! | 4 | its age: the share of its shard's entries that were used later, of 2^32 |
//! | 8 | milliseconds that it has left to live, or all bits set if it has no end |
//! | | its key and its value, as a MessagePack array of two; structs are maps, so that fields may be added |

use crate::error::Error;
use crate::time::Ttl;
use rmp_serde::{Deserializer, Serializer};
use serde_core::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;

/// In the place of the milliseconds of an entry that has no end.
const NEVER: u64 = u64::MAX;

#[derive(Debug, PartialEq)]
pub(super) struct Record<K, V> {
    pub(super) age: u32,
    pub(super) left: Ttl,
    pub(super) key: K,
    pub(super) value: V,
}

/// The age of the `rank`th of so many entries, counted from the one that was used longest ago.
pub(super) fn age(rank: u64, of: u64) -> u32 {
    let later = u128::from(of - 1 - rank);
    ((later << u32::BITS) / u128::from(of)) as u32
}

/// Appends an entry.
pub(super) fn write<K: Serialize, V: Serialize>(
    block: &mut Vec<u8>,
    age: u32,
    left: Ttl,
    key: &K,
    value: &V,
) -> Result<(), Error> {
    let left = match left {
        Ttl::Never => NEVER,
        Ttl::After(left) => left.as_millis() as u64,
    };
    block.extend(age.to_le_bytes());
    block.extend(left.to_le_bytes());
    let mut serializer = Serializer::new(block).with_struct_map();
    (key, value)
        .serialize(&mut serializer)
        .map_err(Error::encoding)
}

/// Takes an entry from the front of a block whose checksum was right.
pub(super) fn read<K: DeserializeOwned, V: DeserializeOwned>(
    block: &mut &[u8],
) -> Result<Record<K, V>, Error> {
    let age = u32::from_le_bytes(take(block)?);
    let left = match u64::from_le_bytes(take(block)?) {
        NEVER => Ttl::Never,
        left => Ttl::After(Duration::from_millis(left)),
    };
    let mut deserializer = Deserializer::new(block);
    let (key, value) = Deserialize::deserialize(&mut deserializer).map_err(Error::decoding)?;
    Ok(Record {
        age,
        left,
        key,
        value,
    })
}

fn take<const N: usize>(block: &mut &[u8]) -> Result<[u8; N], Error> {
    let (bytes, rest) = block
        .split_first_chunk()
        .ok_or_else(|| Error::damaged("an entry does not end where its block does"))?;
    *block = rest;
    Ok(*bytes)
}
