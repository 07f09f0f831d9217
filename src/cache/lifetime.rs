//! [`Ttl`] as entries are stored with it.

use crate::core::NEVER;
use crate::time::Ttl;

/// A time to live in milliseconds, from 1 to [`NEVER`], which means for ever.
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
        let millis = u64::try_from(after.as_millis()).unwrap_or(NEVER);
        (!after.is_zero()).then(|| Self(millis.clamp(1, NEVER)))
    }

    /// The deadline of an entry that is stored `now`.
    #[inline(always)]
    pub(super) fn deadline(self, now: u64) -> u64 {
        (now + self.0).min(NEVER)
    }
}
