//! Without the feature `tracing` nothing is told.

use crate::backend::undecodable::Reason;
use std::future::Future;
use std::pin::Pin;

#[inline(always)]
pub(in crate::backend) fn undecodable(_: &'static str, _: Reason, _: &'static str) {}

pub(in crate::backend) struct LoadSpan;

impl LoadSpan {
    #[inline(always)]
    pub(in crate::backend) fn new(_: Option<&str>, _: bool) -> Self {
        Self
    }

    #[inline(always)]
    pub(in crate::backend) fn around<'w, F: Future>(&self, work: Pin<&'w mut F>) -> Pin<&'w mut F> {
        work
    }

    #[inline(always)]
    pub(in crate::backend) fn failed(&self, _: &'static str) {}
}
