//! With the feature `msgpack`: values as MessagePack.

use crate::backend::codec::Codec;
use crate::backend::codec::format::Format;
use crate::backend::codec::limits;
use crate::backend::representable;
use crate::error::Error;
use serde_core::{Serialize, de::DeserializeOwned};

/// The format is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) struct Enabled;

impl Codec {
    /// Values as [MessagePack](https://msgpack.org), structs with the names of their fields.
    ///
    /// So a struct may gain a field with `#[serde(default)]`, or lose one, and read what was written before, as with JSON. NaN,
    /// raw bytes, and maps whose keys are no strings are all allowed.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, Codec, MemoryCacheBackend, Ttl};
    /// use std::collections::BTreeMap;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::builder().codec(Codec::msgpack()).build()?;
    /// backend.set("names", BTreeMap::from([(1, "one")]), Ttl::Never).await?;
    /// let names = backend.get::<BTreeMap<u8, String>>("names").await?.unwrap();
    /// assert_eq!(names[&1], "one");
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "msgpack")))]
    pub fn msgpack() -> Self {
        Self::of(Format::MsgPack(Enabled))
    }
}

pub(in crate::backend) fn encode<T>(
    _: Enabled,
    value: &T,
    mut out: Vec<u8>,
) -> Result<Vec<u8>, Error>
where
    T: Serialize + ?Sized,
{
    representable::check_depth(value)?;
    let mut writer = rmp_serde::Serializer::new(&mut out).with_struct_map();
    value.serialize(&mut writer).map_err(Error::encoding)?;
    Ok(out)
}

pub(in crate::backend) fn decode<T>(_: Enabled, bytes: &[u8], elements: usize) -> Result<T, Error>
where
    T: DeserializeOwned,
{
    let mut rest = bytes;
    let mut reader = rmp_serde::Deserializer::new(&mut rest);
    let value = limits::read(&mut reader, elements).map_err(Error::decoding)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(Error::decoding(format!("{} bytes too many", rest.len())))
    }
}
