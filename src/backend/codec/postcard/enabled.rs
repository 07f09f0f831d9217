//! With the feature `postcard`: values as [postcard](https://docs.rs/postcard) writes them.

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
    /// Values in the format [postcard](https://docs.rs/postcard): the smallest, and the fastest to read.
    ///
    /// It says nothing of the fields that it holds. What was written as one type can read as another, without an error and as
    /// nonsense, so a type that changes wants another [`version`](Self::version). Types that ask what they are being read
    /// from (`#[serde(untagged)]`, `flatten`, `serde_json::Value`) cannot be read back: always a miss.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, Codec, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::builder().codec(Codec::postcard().version(2)).build()?;
    /// backend.set("spot", (1.5, f64::NAN), Ttl::Never).await?; // JSON has no NaN
    /// assert!(backend.get::<(f64, f64)>("spot").await?.unwrap().1.is_nan());
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "postcard")))]
    pub fn postcard() -> Self {
        Self::of(Format::Postcard(Enabled))
    }
}

pub(in crate::backend) fn encode<T>(_: Enabled, value: &T, out: Vec<u8>) -> Result<Vec<u8>, Error>
where
    T: Serialize + ?Sized,
{
    representable::check_depth(value)?;
    postcard::to_extend(value, out).map_err(Error::encoding)
}

pub(in crate::backend) fn decode<T>(_: Enabled, bytes: &[u8], elements: usize) -> Result<T, Error>
where
    T: DeserializeOwned,
{
    let mut reader = postcard::Deserializer::from_bytes(bytes);
    let value = limits::read(&mut reader, elements).map_err(Error::decoding)?;
    let rest = reader.finalize().map_err(Error::decoding)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(Error::decoding(format!("{} bytes too many", rest.len())))
    }
}
