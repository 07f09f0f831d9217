//! Without the feature `zstd`: a compression that no codec has.

use crate::backend::undecodable::DecodeError;

/// There is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend::codec) enum Zstd {}

impl Zstd {
    pub(in crate::backend::codec) fn compress(self, _: &[u8], _: usize) -> Option<Vec<u8>> {
        match self {}
    }

    pub(in crate::backend::codec) fn decompress(
        self,
        _: &[u8],
        _: usize,
    ) -> Result<Vec<u8>, DecodeError> {
        match self {}
    }
}
