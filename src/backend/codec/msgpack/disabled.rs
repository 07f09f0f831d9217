//! Without the feature `msgpack`: a format that nothing has.

use crate::error::Error;
use serde_core::{Serialize, de::DeserializeOwned};

/// There is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::backend) enum Enabled {}

pub(in crate::backend) fn encode<T>(never: Enabled, _: &T, _: Vec<u8>) -> Result<Vec<u8>, Error>
where
    T: Serialize + ?Sized,
{
    match never {}
}

pub(in crate::backend) fn decode<T>(never: Enabled, _: &[u8], _: usize) -> Result<T, Error>
where
    T: DeserializeOwned,
{
    match never {}
}
