//! Without the feature there are none.

use crate::operations::Run;

pub const NEAR_GET: &[Run] = &[];
pub const NEAR_TAGGED_GET: &[Run] = &[];
