//! Without the feature `encryption`: keys that no codec has.

use crate::backend::undecodable::DecodeError;
use crate::error::Error;

/// Nothing is encrypted.
pub(in crate::backend::codec) const PREFIX: usize = 0;

/// There are none.
#[derive(Debug, Clone)]
pub(in crate::backend::codec) enum Keys {}

impl Keys {
    pub(in crate::backend::codec) fn seal(
        &self,
        _: &[u8],
        _: &[u8],
        _: Vec<u8>,
        _: usize,
    ) -> Result<Vec<u8>, Error> {
        match *self {}
    }

    pub(in crate::backend::codec) fn open(
        &self,
        _: &[u8],
        _: &[u8],
        _: &[u8],
    ) -> Result<Vec<u8>, DecodeError> {
        match *self {}
    }
}
