//! With the feature `zstd`: compression of what is large enough to be worth it.

use crate::backend::codec::Codec;
use crate::backend::undecodable::{DecodeError, Reason};
use zstd::bulk;
use zstd::zstd_safe::get_frame_content_size;

/// zstd's own default.
const LEVEL: i32 = 3;

/// A block of zstd's has this many bytes at most, and takes four at least.
const BLOCK: u64 = 128 * 1024;
const SMALLEST_BLOCK: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::codec) struct Zstd {
    above: usize,
}

impl Codec {
    /// Compresses values of more than so many bytes, those that become smaller by it.
    ///
    /// Reads both what is compressed and what is not, so the threshold may change. A codec without compression does not read
    /// what one with it has compressed: to introduce it, or to give it up, first let all processes have the threshold
    /// `usize::MAX`, which compresses nothing.
    ///
    /// Where somebody can choose a part of a value, see how long the stored value is, and wants to know the rest, compression
    /// helps them, encrypted or not.
    ///
    /// ```
    /// use nori_cache::{CacheBackendExt, Codec, MemoryCacheBackend, Ttl};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let backend = MemoryCacheBackend::builder().codec(Codec::json().zstd_above(1_024)).build()?;
    /// backend.set("page", "<html>".repeat(100_000), Ttl::Never).await?;
    /// assert_eq!(backend.get::<String>("page").await?.unwrap().len(), 600_000);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "zstd")))]
    #[must_use]
    pub fn zstd_above(self, bytes: usize) -> Self {
        self.with(|settings| settings.zstd = Some(Zstd { above: bytes }))
    }
}

impl Zstd {
    /// The bytes, compressed; `None` if they should stay as they are. What is larger than the limit would not be read.
    pub(in crate::backend::codec) fn compress(self, bytes: &[u8], limit: usize) -> Option<Vec<u8>> {
        if bytes.len() <= self.above || bytes.len() > limit {
            return None;
        }
        let compressed = bulk::compress(bytes, LEVEL).ok()?;
        (compressed.len() < bytes.len()).then_some(compressed)
    }

    /// Nothing is allocated but for what the bytes can become and the limit allows.
    pub(in crate::backend::codec) fn decompress(
        self,
        bytes: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, DecodeError> {
        let malformed = |what: &str| DecodeError::new(Reason::Malformed, what);
        // Our frames always say how large they become. One that lies ends in an error when the room is full, or is not filled.
        let Ok(Some(size)) = get_frame_content_size(bytes) else {
            return Err(malformed("not compressed as it says"));
        };
        let room = usize::try_from(size).unwrap_or(usize::MAX);
        if room > limit {
            let text = format!("{size} bytes when decompressed, of which {limit} are allowed");
            return Err(DecodeError::new(Reason::Oversized, text));
        }
        let blocks = bytes.len() as u64 / SMALLEST_BLOCK;
        if size > blocks.saturating_mul(BLOCK) {
            return Err(malformed("too short for what it says that it becomes"));
        }
        match bulk::decompress(bytes, room) {
            Ok(plain) if plain.len() == room => Ok(plain),
            _ => Err(malformed("it cannot be decompressed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALWAYS: Zstd = Zstd { above: 0 };

    #[test]
    fn what_is_compressed_comes_back() {
        for len in [1_000, 10_000, BLOCK as usize * 3 + 1] {
            let plain: Vec<u8> = (0..len).map(|nth| (nth % 7) as u8).collect();
            let compressed = ALWAYS.compress(&plain, usize::MAX).unwrap();
            assert!(compressed.len() < len / 10);
            assert_eq!(ALWAYS.decompress(&compressed, len).unwrap(), plain);
            let error = ALWAYS.decompress(&compressed, len - 1).unwrap_err();
            assert_eq!(error.reason, Reason::Oversized);
        }
    }

    #[test]
    fn what_is_small_large_or_random_stays_as_it_is() {
        let zeros = vec![0; 1_000];
        assert!(Zstd { above: 1_000 }.compress(&zeros, 1_000).is_none());
        assert!(Zstd { above: 999 }.compress(&zeros, 1_000).is_some());
        assert!(ALWAYS.compress(&zeros, 999).is_none());
        assert!(ALWAYS.compress(b"", 999).is_none());
        assert!(ALWAYS.compress(b"\x17", 999).is_none());
    }

    #[test]
    fn a_frame_that_lies_about_its_size_is_refused() {
        let plain = vec![7; 100_000];
        let honest = ALWAYS.compress(&plain, usize::MAX).unwrap();
        // A frame's header: magic number, descriptor, window or size. Two bits of the descriptor say how long the size is.
        let size_at = 5;
        for change in 1..=255 {
            let mut lying = honest.clone();
            lying[size_at] ^= change;
            match ALWAYS.decompress(&lying, 1 << 30) {
                Ok(got) => panic!("{} bytes", got.len()),
                Err(error) => assert_ne!(error.reason, Reason::Forged),
            }
        }
        let mut trailing = honest.clone();
        trailing.extend_from_slice(&honest);
        assert!(ALWAYS.decompress(&trailing, 1 << 30).is_err());
    }
}
