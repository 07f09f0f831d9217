//! Bounds of cached responses in memory, where they are apart from all else.

use super::env::Variables;
use crate::error::Error;

const ALLOWED: &str = "a whole number, at least 1";

/// With neither, responses lie among all else. What is not set beside the other is the bound of all else.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Responses {
    pub(super) max_keys: Option<usize>,
    pub(super) max_bytes: Option<u64>,
}

impl Responses {
    pub(super) fn read(variables: &Variables<'_>) -> Result<Self, Error> {
        let max_keys = variables.number("CACHE_RESPONSES_MAX_KEYS", usize::MAX as u64)?;
        Ok(Self {
            max_keys: max_keys.map(|max_keys| usize::try_from(max_keys).unwrap_or(usize::MAX)),
            max_bytes: variables.number("CACHE_RESPONSES_MAX_BYTES", u64::MAX)?,
        })
    }

    pub(super) fn check(self) -> Result<(), Error> {
        if self.max_keys == Some(0) {
            return Err(Error::invalid_config(
                "CACHE_RESPONSES_MAX_KEYS",
                0,
                ALLOWED,
            ));
        }
        if self.max_bytes == Some(0) {
            return Err(Error::invalid_config(
                "CACHE_RESPONSES_MAX_BYTES",
                0,
                ALLOWED,
            ));
        }
        Ok(())
    }

    /// Their bounds, beside those of all else.
    pub(super) fn bounds(self, max_keys: usize, max_bytes: u64) -> Option<(usize, u64)> {
        let is_apart = self.max_keys.is_some() || self.max_bytes.is_some();
        let keys = self.max_keys.unwrap_or(max_keys);
        is_apart.then(|| (keys, self.max_bytes.unwrap_or(max_bytes)))
    }
}
