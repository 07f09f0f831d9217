//! Without the feature `tracing` nothing is told.

use crate::error::Error;
use std::sync::Arc;

#[inline(always)]
pub(crate) fn backend_failed(_: &Error) {}
#[inline(always)]
pub(crate) fn answered(_: &str, _: &str, _: &str, _: bool) {}
#[inline(always)]
pub(crate) fn passed(_: &str, _: &str) {}
#[inline(always)]
pub(crate) fn stored(_: &str, _: usize) {}
#[inline(always)]
pub(crate) fn refused(_: &str, _: &str) {}

pub(crate) struct Asker;

impl Asker {
    #[inline(always)]
    pub(crate) fn new(_: &Arc<str>, _: bool) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn answered(&self, _: crate::response::fetch::handler_call::How) {}
}

pub(crate) struct Stray;

impl Stray {
    #[inline(always)]
    pub(crate) fn new(_: &Arc<str>) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn ended(&self, _: &str) {}
}
