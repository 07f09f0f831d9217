//! Without the feature `tracing` nothing is told.

use crate::error::Error;
use std::sync::Arc;

#[inline(always)]
pub(super) fn backend_failed(_: &Error) {}
#[inline(always)]
pub(super) fn answered(_: &str, _: &str, _: &str, _: bool) {}
#[inline(always)]
pub(super) fn passed(_: &str, _: &str) {}
#[inline(always)]
pub(super) fn stored(_: &str, _: usize) {}
#[inline(always)]
pub(super) fn refused(_: &str, _: &str) {}

pub(super) struct Asker;

impl Asker {
    #[inline(always)]
    pub(super) fn new(_: &Arc<str>, _: bool) -> Self {
        Self
    }

    #[inline(always)]
    pub(super) fn answered(&self, _: super::lead::How) {}
}

pub(super) struct Stray;

impl Stray {
    #[inline(always)]
    pub(super) fn new(_: &Arc<str>) -> Self {
        Self
    }

    #[inline(always)]
    pub(super) fn ended(&self, _: &str) {}
}
