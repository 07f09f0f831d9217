//! Without the feature there are no rivals.

use crate::operations::Run;

pub const HIT: &[Run] = &[];
pub const HOT: &[Run] = &[];
pub const MISS: &[Run] = &[];
pub const UPDATE: &[Run] = &[];
pub const EVICT: &[Run] = &[];
pub const FILL: &[Run] = &[];
