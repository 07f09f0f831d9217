//! Without the feature `tracing` nothing is told.

use crate::backend::undecodable::Reason;

#[inline(always)]
pub(in crate::backend) fn undecodable(_: &'static str, _: Reason, _: &'static str) {}
