//! Without the feature `redis` there is none to test on.

use crate::support::World;

pub const IS_USED: bool = false;

pub fn world() -> World {
    unreachable!("there is no Redis")
}
