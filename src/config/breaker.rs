//! Settings of the breakers of links to Redis.

use super::env::Variables;
use crate::error::Error;
use std::time::Duration;

/// What is not set is the backend's own default.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Breaker {
    pub(super) threshold: Option<u32>,
    pub(super) longest_pause: Option<Duration>,
}

const THRESHOLD: &str = "REDIS_BREAKER_THRESHOLD";
const PAUSE: &str = "REDIS_BREAKER_PAUSE_MS";
/// Whoever pauses for longer has mistaken the unit.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

impl Breaker {
    pub(super) fn read(variables: &Variables<'_>) -> Result<Self, Error> {
        let threshold = variables.number(THRESHOLD, u32::MAX.into())?;
        let pause = variables.number(PAUSE, LONGEST_PAUSE.as_millis() as u64)?;
        Ok(Self {
            threshold: threshold.and_then(|failures| u32::try_from(failures).ok()),
            longest_pause: pause.map(Duration::from_millis),
        })
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.threshold == Some(0) {
            let allowed = "a whole number, at least 1";
            return Err(Error::invalid_config(THRESHOLD, 0, allowed));
        }
        let is_allowed = |pause: Duration| !pause.is_zero() && pause <= LONGEST_PAUSE;
        match self.longest_pause.filter(|pause| !is_allowed(*pause)) {
            None => Ok(()),
            Some(pause) => {
                let allowed = "longer than zero, and an hour at most";
                Err(Error::invalid_config(PAUSE, format!("{pause:?}"), allowed))
            }
        }
    }
}
