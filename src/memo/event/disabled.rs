use crate::error::Error;

#[inline(always)]
pub(in crate::memo) fn cache_failed(_: &Error) {}
