//! How long entries live, as a cache was built.

use super::Expiry;
use crate::core::{NEVER, Route};
use crate::sync::AtomicBool;
use crate::time::Ttl;
use std::time::Duration;

/// A time in milliseconds, rounded up, from 1 to [`NEVER`], which means for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lifetime(u64);

/// What a cache was told of its entries' lives beside their time to live.
pub(super) struct Lifetimes<K, V> {
    /// How long an entry lives that nobody reads.
    pub(super) idle: Lifetime,
    pub(super) jitter: Jitter,
    pub(super) expiry: Option<Box<dyn Expiry<K, V>>>,
    /// Whether any entry that has an idle time has ever had a limit beside it; until then no read looks for one.
    pub(super) limited: AtomicBool,
}

/// By which share of it a time to live is shortened at most.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Jitter(f64);

/// A read restarts an idle time of which so large a part has passed since it was last restarted.
const RESTARTS: u64 = 16;

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

    pub(super) fn ttl(self) -> Ttl {
        if self == Self::EVER {
            Ttl::Never
        } else {
            Ttl::After(Duration::from_millis(self.0))
        }
    }

    /// The deadline of an entry that is stored `now`, rounded up.
    #[inline(always)]
    pub(super) fn deadline(self, now: u64) -> u64 {
        (now + self.0).min(NEVER)
    }

    /// The idle deadline of an entry that is read `now`, rounded up, if that is worth a store: a sixteenth after the last one.
    pub(super) fn restarted(self, last: u64, now: u64) -> Option<u64> {
        let deadline = self.deadline(now);
        let least = (self.0 / RESTARTS).max(1);
        (deadline >= last.saturating_add(least)).then_some(deadline)
    }
}

impl<K, V> Lifetimes<K, V> {
    /// Whether there is more to an entry's deadline than its time to live.
    pub(super) fn is_special(&self) -> bool {
        self.is_watched() || self.jitter != Jitter::NONE
    }

    /// Whether reads move deadlines.
    pub(super) fn is_watched(&self) -> bool {
        self.idle != Lifetime::EVER || self.expiry.is_some()
    }
}

impl Jitter {
    pub(super) const NONE: Self = Self(0.0);

    /// `None` for what is no share from 0 to 1.
    pub(super) fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// A lifetime that begins `now`, shortened, to no less than a millisecond.
    ///
    /// By how much is a matter of the key's hash and the time: what lives equally long from one moment on then ends at different ones,
    /// and no state is kept that threads would have to share. With a hasher and a clock that are the same each time it is the
    /// same each time.
    pub(super) fn shorten(self, lifetime: Lifetime, route: Route, now: u64) -> Lifetime {
        if lifetime == Lifetime::EVER || self == Self::NONE {
            return lifetime;
        }
        let random = mix(route.spread() ^ mix(now)) >> 11;
        let share = self.0 * random as f64 / (1_u64 << 53) as f64;
        let less = (lifetime.0 as f64 * share) as u64;
        Lifetime(lifetime.0.saturating_sub(less).max(1))
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014).
fn mix(it: u64) -> u64 {
    let it = it.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_shortens_evenly_and_never_to_nothing() {
        let lifetime = Lifetime(1_000_000);
        let jitter = Jitter::new(0.25).unwrap();
        let shortened = |n| jitter.shorten(lifetime, Route::new(n), 7).0;
        let all: Vec<u64> = (0..10_000).map(shortened).collect();
        assert!(all.iter().all(|it| (750_000..=1_000_000).contains(it)));
        for tenth in 0..10 {
            let from = 750_000 + tenth * 25_000;
            let here = all
                .iter()
                .filter(|it| (from..from + 25_000).contains(*it))
                .count();
            assert!((800..1200).contains(&here), "{here} from {from}");
        }
        let all = Jitter::new(1.0).unwrap();
        assert!((0..10_000).all(|n| all.shorten(Lifetime(1), Route::new(n), n).0 == 1));
        let ever = all.shorten(Lifetime::EVER, Route::new(1), 1);
        assert_eq!(ever, Lifetime::EVER);
    }

    #[test]
    fn idle_times_restart_at_most_once_in_a_sixteenth() {
        let idle = Lifetime(160);
        assert_eq!(idle.restarted(idle.deadline(0), 9), None);
        assert_eq!(idle.restarted(idle.deadline(0), 10), Some(170));
        assert_eq!(Lifetime(3).restarted(3, 0), None);
        assert_eq!(Lifetime(3).restarted(3, 1), Some(4));
        assert_eq!(Lifetime::EVER.restarted(NEVER, 1), None);
    }
}
