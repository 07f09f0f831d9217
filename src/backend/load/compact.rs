//! Options in eight bytes each, whether they are set or not: a load carries all of them along, and is moved about before it is polled.
//!
//! Times are nanoseconds. What is longer than there are, 584 years, counts as that.

use crate::time::Ttl;
use std::fmt;
use std::time::Duration;

/// What stands for an option that is not set.
const UNSET: u64 = u64::MAX;
const NEVER: u64 = u64::MAX - 1;
const LONGEST: u64 = u64::MAX - 2;

#[inline]
const fn to_nanos(time: Duration) -> u64 {
    let Some(nanos) = time.as_secs().checked_mul(1_000_000_000) else {
        return LONGEST;
    };
    match nanos.checked_add(time.subsec_nanos() as u64) {
        Some(nanos) if nanos < LONGEST => nanos,
        _ => LONGEST,
    }
}

/// A duration.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Span(u64);

impl Span {
    #[inline]
    pub(super) const fn new(time: Duration) -> Self {
        Self(to_nanos(time))
    }

    #[inline]
    pub(super) fn get(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

/// A duration, if it is set.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct MaybeSpan(u64);

impl MaybeSpan {
    pub(super) const UNSET: Self = Self(UNSET);

    #[inline]
    pub(super) fn new(time: Duration) -> Self {
        Self(to_nanos(time))
    }

    #[inline]
    pub(super) fn is_set(self) -> bool {
        self.0 != UNSET
    }

    #[inline]
    pub(super) fn get(self) -> Option<Duration> {
        self.is_set().then(|| Duration::from_nanos(self.0))
    }
}

/// A time to live, if it is set.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct MaybeTtl(u64);

impl MaybeTtl {
    pub(super) const UNSET: Self = Self(UNSET);

    #[inline]
    pub(super) fn new(ttl: Ttl) -> Self {
        Self(match ttl {
            Ttl::After(time) => to_nanos(time),
            Ttl::Never => NEVER,
        })
    }

    #[inline]
    pub(super) fn get(self) -> Option<Ttl> {
        match self.0 {
            UNSET => None,
            NEVER => Some(Ttl::Never),
            nanos => Some(Ttl::After(Duration::from_nanos(nanos))),
        }
    }
}

/// A share, if it is set.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct MaybeShare(u64);

impl MaybeShare {
    pub(super) const UNSET: Self = Self(UNSET);

    #[inline]
    pub(super) fn new(share: f64) -> Self {
        // What is no number stays one, but not the one that stands for an option that is not set.
        let share = if share.is_nan() { f64::NAN } else { share };
        Self(share.to_bits())
    }

    #[inline]
    pub(super) fn is_set(self) -> bool {
        self.0 != UNSET
    }

    #[inline]
    pub(super) fn get(self) -> Option<f64> {
        self.is_set().then(|| f64::from_bits(self.0))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

macro_rules! debug_as_options {
    ($($type:ty),*) => {
        $(impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.get().fmt(f)
            }
        })*
    };
}

debug_as_options!(MaybeSpan, MaybeTtl, MaybeShare);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_what_is_read() {
        let most = Duration::from_nanos(LONGEST);
        for (given, read) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::from_nanos(1), Duration::from_nanos(1)),
            (Duration::from_secs(3600), Duration::from_secs(3600)),
            (most, most),
            (Duration::from_nanos(LONGEST + 1), most),
            (Duration::from_nanos(u64::MAX), most),
            (most + Duration::from_secs(1), most),
            (Duration::MAX, most),
        ] {
            assert_eq!(Span::new(given).get(), read);
            assert_eq!(MaybeSpan::new(given).get(), Some(read));
            let ttl = MaybeTtl::new(Ttl::After(given)).get();
            assert_eq!(ttl, Some(Ttl::After(read)));
            assert_eq!(
                format!("{:?}", MaybeTtl::new(given.into())),
                format!("{ttl:?}")
            );
        }
        assert_eq!(MaybeTtl::new(Ttl::Never).get(), Some(Ttl::Never));
        for share in [0.0, -0.0, 0.8, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(MaybeShare::new(share).get(), Some(share));
        }
    }

    #[test]
    fn what_is_not_set_is_nothing() {
        assert_eq!(MaybeSpan::UNSET.get(), None);
        assert_eq!(MaybeTtl::UNSET.get(), None);
        assert_eq!(MaybeShare::UNSET.get(), None);
        for nan in [f64::NAN, -f64::NAN, f64::from_bits(UNSET)] {
            assert!(MaybeShare::new(nan).get().is_some_and(f64::is_nan));
        }
        let shown = format!("{:?}", (MaybeSpan::UNSET, Span::new(Duration::ZERO)));
        assert_eq!(shown, "(None, 0ns)");
    }
}
