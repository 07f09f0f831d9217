//! Settings of the near tier.

use super::env::Variables;
use crate::backend::{Coherence, MAX_BYTES, redact};
use crate::error::Error;
use std::time::Duration;

/// The near tier of a backend of two. What is not set is the backend's own default.
#[derive(Debug, Clone, Copy)]
pub(super) struct Near {
    pub(super) max_keys: usize,
    pub(super) max_bytes: u64,
    pub(super) ttl: Option<Duration>,
    pub(super) max_staleness: Duration,
    pub(super) coherence: Coherence,
    pub(super) max_repairs: usize,
}

/// Copies cannot be told to be behind by less: servers are asked four times in that time.
const LEAST_STALENESS: Duration = Duration::from_millis(10);

impl Default for Near {
    fn default() -> Self {
        Self {
            max_keys: 10_000,
            max_bytes: MAX_BYTES,
            ttl: None,
            max_staleness: Duration::from_secs(2),
            coherence: Coherence::default(),
            max_repairs: 1_000,
        }
    }
}

impl Near {
    pub(super) fn read(variables: &Variables<'_>) -> Result<Self, Error> {
        let mut near = Self::default();
        if let Some(max_keys) = variables.number("CACHE_NEAR_MAX_KEYS", usize::MAX as u64)? {
            near.max_keys = usize::try_from(max_keys).unwrap_or(usize::MAX);
        }
        if let Some(max_bytes) = variables.number("CACHE_NEAR_MAX_BYTES", u64::MAX)? {
            near.max_bytes = max_bytes;
        }
        if let Some(seconds) = variables.number("CACHE_NEAR_TTL", u64::MAX / 1000)? {
            near.ttl = Some(Duration::from_secs(seconds));
        }
        if let Some(millis) = variables.number("CACHE_NEAR_STALENESS_MS", u64::MAX)? {
            near.max_staleness = Duration::from_millis(millis);
        }
        if let Some(coherence) = variables.get("CACHE_NEAR_COHERENCE")? {
            near.coherence = match coherence.to_ascii_lowercase().as_str() {
                "tracking" => Coherence::Tracking,
                "broadcast" => Coherence::Broadcast,
                "backplane" => Coherence::Backplane,
                "near-ttl" => Coherence::NearTtl,
                _ => {
                    let given = redact::value(&coherence);
                    let allowed = "tracking, broadcast, backplane or near-ttl";
                    return Err(Error::invalid_config(
                        "CACHE_NEAR_COHERENCE",
                        given,
                        allowed,
                    ));
                }
            };
        }
        if let Some(max_keys) = variables.count("CACHE_NEAR_MAX_REPAIRS")? {
            near.max_repairs = max_keys;
        }
        Ok(near)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.max_keys == 0 {
            let allowed = "a whole number, at least 1";
            return Err(Error::invalid_config("CACHE_NEAR_MAX_KEYS", 0, allowed));
        }
        if self.max_bytes == 0 {
            let allowed = "a whole number, at least 1";
            return Err(Error::invalid_config("CACHE_NEAR_MAX_BYTES", 0, allowed));
        }
        if self.ttl.is_some_and(|ttl| ttl < Duration::from_millis(1)) {
            let allowed = "at least a millisecond";
            return Err(Error::invalid_config("CACHE_NEAR_TTL", 0, allowed));
        }
        if self.max_staleness < LEAST_STALENESS {
            let given = self.max_staleness.as_millis();
            let allowed = "a whole number, at least 10";
            return Err(Error::invalid_config(
                "CACHE_NEAR_STALENESS_MS",
                given,
                allowed,
            ));
        }
        Ok(())
    }
}
