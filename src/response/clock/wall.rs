//! [`WallClock`]: what says which time of day it is.

use super::unix_millis::UnixMillis;
use crate::time::{Clock, wall_millis_soon};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's time of day, or one that a clock of the user's drives.
#[derive(Debug, Clone)]
pub(crate) enum WallClock {
    System,
    /// A clock, and the time of day at which it read 0.
    Driven {
        origin: UnixMillis,
        clock: Clock,
    },
}

impl WallClock {
    /// The time of day, which from now on only this clock moves.
    pub(crate) fn driven_by(clock: Clock) -> Self {
        let origin = system_time().minus(elapsed(&clock));
        Self::Driven { origin, clock }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        match self {
            Self::System => system_time(),
            Self::Driven { origin, clock } => origin.plus(elapsed(clock)),
        }
    }

    /// A time that is not past yet, up to a tenth of a second ahead. Cheaper than [`now`](Self::now).
    #[inline]
    pub(crate) fn soon(&self) -> UnixMillis {
        match self {
            Self::System => wall_millis_soon().map_or_else(system_time, UnixMillis::new),
            Self::Driven { .. } => self.now(),
        }
    }
}

/// What a clock reads: one tick is one millisecond.
fn elapsed(clock: &Clock) -> Duration {
    Duration::from_millis(clock.now())
}

fn system_time() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(UnixMillis::EPOCH, |since| UnixMillis::EPOCH.plus(since))
}
