//! What is to be done about what was seen in the store: a pure function.

use super::options::LoadOptions;
use crate::backend::kept::{Times, millis_rounded_up};
use std::time::Duration;

/// What is in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing that this load can read.
    Missing,
    /// A value that has nothing but a time to live: as long as it is there, it is fresh.
    Plain,
    Kept(Times),
    /// It cannot be read: this is what was last known of it, with its times if it is kept. For fail-safe, and never a hit.
    LastKnown(Option<Times>),
}

impl Seen {
    /// Whether it is there for when a load fails, or takes too long.
    pub(super) fn is_safe(self, options: &LoadOptions, now: u64) -> bool {
        match self {
            Self::Missing | Self::Plain => false,
            Self::Kept(times) | Self::LastKnown(Some(times)) => {
                times.is_within(options.fail_safe.get(), now)
            }
            // Whoever keeps the copy knows how long its original lives.
            Self::LastKnown(None) => options.fail_safe.is_set(),
        }
    }
}

/// All that a decision is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) seen: Seen,
    pub(super) now: u64,
    /// When the last load of the key failed, if it did.
    pub(super) failed_at: Option<u64>,
    /// Whether a load may go on in the background.
    pub(super) has_background: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// What is there is fresh.
    Hit,
    /// It is, and is to be refreshed in the background.
    HitAndRefresh,
    /// What is there will do, and is to be refreshed in the background.
    StaleAndRefresh,
    /// What is there will do; the last refresh failed a short while ago.
    Stale,
    /// What is there will do, as the last load failed a short while ago.
    FailSafe,
    /// The last load failed a short while ago, which was to be remembered.
    Fail,
    Load,
}

pub(super) fn decide(facts: Facts, options: &LoadOptions) -> Decision {
    let failed_within = |pause: Duration| {
        // A clock that was set back ends the pause.
        let ago = facts.failed_at.and_then(|at| facts.now.checked_sub(at));
        ago.is_some_and(|ago| ago < millis_rounded_up(pause))
    };
    let is_throttled = || failed_within(options.fail_safe_throttle.get());
    let else_load = || match options.cache_errors.get() {
        Some(pause) if failed_within(pause) => Decision::Fail,
        _ => Decision::Load,
    };
    let fail_safe_or_load = || {
        if facts.seen.is_safe(options, facts.now) && is_throttled() {
            Decision::FailSafe
        } else {
            else_load()
        }
    };
    let times = match facts.seen {
        Seen::Plain => return Decision::Hit,
        Seen::Missing | Seen::LastKnown(_) => return fail_safe_or_load(),
        Seen::Kept(times) => times,
    };
    if times.is_fresh(facts.now) {
        return if is_due(times, options, facts.has_background, facts.now) && !is_throttled() {
            Decision::HitAndRefresh
        } else {
            Decision::Hit
        };
    }
    if facts.has_background && times.is_within(options.stale_while_revalidate.get(), facts.now) {
        return if is_throttled() {
            Decision::Stale
        } else {
            Decision::StaleAndRefresh
        };
    }
    fail_safe_or_load()
}

/// Whether what is fresh is to be refreshed already.
#[inline]
fn is_due(times: Times, options: &LoadOptions, has_background: bool, now: u64) -> bool {
    let share = options.eager_refresh.get().filter(|_| has_background);
    share.is_some_and(|share| times.is_past(share, now))
}

/// Whether the decision is a hit, whatever else is so. Once it is not, it never is again.
#[inline]
pub(super) fn is_hit(times: Times, options: &LoadOptions, has_background: bool, now: u64) -> bool {
    times.is_fresh(now) && !is_due(times, options, has_background, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Decision::*;
    use Seen::*;

    /// Stored at 1,000, fresh for a second.
    const KEPT: Seen = Kept(Times {
        stored_at: 1_000,
        fresh_until: 2_000,
        is_negative: false,
        is_tagged: false,
    });
    const TIMES: Option<Times> = match KEPT {
        Kept(times) => Some(times),
        _ => None,
    };
    const MS: Duration = Duration::from_millis(1);

    fn all() -> LoadOptions {
        LoadOptions::new()
            .eager_refresh(0.8)
            .stale_while_revalidate(100 * MS)
            .fail_safe(1_000 * MS)
            .fail_safe_throttle(50 * MS)
            .cache_errors(20 * MS)
    }

    /// What is seen, when, when it failed; what is decided with a background, and without.
    #[test]
    fn the_table() {
        let rows = [
            // Whatever is plain is fresh.
            (Plain, 0, None, [Hit, Hit]),
            (Plain, 9_999, Some(9_999), [Hit, Hit]),
            // Nothing there.
            (Missing, 1_000, None, [Load, Load]),
            (Missing, 1_000, Some(1_000), [Fail, Fail]),
            (Missing, 1_000, Some(981), [Fail, Fail]),
            (Missing, 1_000, Some(980), [Load, Load]),
            // The clock was set back.
            (Missing, 1_000, Some(1_001), [Load, Load]),
            // Fresh.
            (KEPT, 999, None, [Hit, Hit]),
            (KEPT, 1_000, None, [Hit, Hit]),
            (KEPT, 1_799, None, [Hit, Hit]),
            // Past 80 % of its life.
            (KEPT, 1_800, None, [HitAndRefresh, Hit]),
            (KEPT, 1_999, None, [HitAndRefresh, Hit]),
            (KEPT, 1_900, Some(1_851), [Hit, Hit]),
            (KEPT, 1_900, Some(1_850), [HitAndRefresh, Hit]),
            // Expired, and yet good.
            (KEPT, 2_000, None, [StaleAndRefresh, Load]),
            (KEPT, 2_099, None, [StaleAndRefresh, Load]),
            (KEPT, 2_040, Some(2_000), [Stale, FailSafe]),
            // Good for when there is nothing better.
            (KEPT, 2_100, None, [Load, Load]),
            (KEPT, 2_100, Some(2_051), [FailSafe, FailSafe]),
            (KEPT, 2_100, Some(2_050), [Load, Load]),
            (KEPT, 2_999, Some(2_999), [FailSafe, FailSafe]),
            // For nothing any more.
            (KEPT, 3_000, None, [Load, Load]),
            (KEPT, 3_000, Some(2_999), [Fail, Fail]),
            (KEPT, 3_000, Some(2_980), [Load, Load]),
            // Last known: fresh or not, never a hit, and good for when there is nothing better.
            (LastKnown(TIMES), 1_000, None, [Load, Load]),
            (LastKnown(TIMES), 1_000, Some(1_000), [FailSafe, FailSafe]),
            (LastKnown(TIMES), 1_900, Some(1_850), [Load, Load]),
            (LastKnown(TIMES), 2_000, None, [Load, Load]),
            (LastKnown(TIMES), 2_040, Some(2_000), [FailSafe, FailSafe]),
            (LastKnown(TIMES), 2_999, Some(2_999), [FailSafe, FailSafe]),
            (LastKnown(TIMES), 3_000, Some(2_999), [Fail, Fail]),
            (LastKnown(TIMES), 3_000, Some(2_980), [Load, Load]),
            (LastKnown(None), 9_999, None, [Load, Load]),
            (LastKnown(None), 9_999, Some(9_999), [FailSafe, FailSafe]),
        ];
        for (seen, now, failed_at, decisions) in rows {
            for (has_background, decision) in [true, false].into_iter().zip(decisions) {
                let facts = Facts {
                    seen,
                    now,
                    failed_at,
                    has_background,
                };
                assert_eq!(decide(facts, &all()), decision, "{facts:?}");
                if let Kept(times) = seen
                    && is_hit(times, &all(), has_background, now)
                {
                    assert_eq!(decision, Hit, "{facts:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_last_known_is_for_fail_safe_alone() {
        let options = || LoadOptions::new().stale_while_revalidate(100 * MS);
        for seen in [LastKnown(TIMES), LastKnown(None)] {
            for failed_at in [None, Some(1_500)] {
                let facts = Facts {
                    seen,
                    now: 1_500,
                    failed_at,
                    has_background: true,
                };
                assert_eq!(decide(facts, &options()), Load);
                assert!(!seen.is_safe(&options(), 1_500));
                assert!(seen.is_safe(&options().fail_safe(MS), 1_500));
            }
        }
    }

    #[test]
    fn without_options_what_has_expired_is_loaded() {
        for failed_at in [None, Some(2_000)] {
            for has_background in [true, false] {
                let at = |now| {
                    let facts = Facts {
                        seen: KEPT,
                        now,
                        failed_at,
                        has_background,
                    };
                    decide(facts, &LoadOptions::new())
                };
                assert_eq!([at(1_999), at(2_000), at(9_999)], [Hit, Load, Load]);
            }
        }
    }

    #[test]
    fn what_never_expires_is_never_due() {
        let times = Times::new(1_000, crate::time::Ttl::Never, false);
        let facts = Facts {
            seen: Kept(times),
            now: u64::MAX - 1,
            failed_at: None,
            has_background: true,
        };
        assert_eq!(decide(facts, &all()), Hit);
    }
}
