//! [`Ttl`] as entries are stored with it.

use crate::core::NEVER;
use crate::time::Ttl;

/// A time to live in milliseconds, rounded up, from 1 to [`NEVER`], which means for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime(u64);

impl Lifetime {
    pub(super) const EVER: Self = Self(NEVER);

    /// `None` for a zero ttl.
    #[inline]
    pub(super) fn new(ttl: Ttl) -> Option<Self> {
        let Ttl::After(after) = ttl else {
            return Some(Self::EVER);
        };
        let millis = after.as_secs().saturating_mul(1_000);
        let fraction = after.subsec_nanos().div_ceil(1_000_000);
        let millis = millis.saturating_add(fraction.into());
        (millis != 0).then(|| Self(millis.min(NEVER)))
    }

    /// The deadline of an entry that is stored `now`, rounded up.
    #[inline(always)]
    pub(super) fn deadline(self, now: u64) -> u64 {
        (now + self.0).min(NEVER)
    }
}
