//! The time of day, as a layer tells it.

mod unix_millis;
mod wall;

pub(crate) use unix_millis::UnixMillis;
pub(crate) use wall::WallClock;
