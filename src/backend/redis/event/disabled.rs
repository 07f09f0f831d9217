//! Without the feature `tracing` nothing is told.

use super::{Endpoint, Subject};
use crate::backend::stats::Operation;
use crate::error::Error;
use std::future::Future;
use std::pin::Pin;

pub(in crate::backend::redis) struct CallSpan;

impl CallSpan {
    #[inline(always)]
    pub(in crate::backend::redis) fn new(
        _: Operation,
        _: Subject<'_>,
        _: Option<&Endpoint>,
    ) -> Self {
        Self
    }

    #[inline(always)]
    pub(in crate::backend::redis) fn around<'w, F: Future>(
        &self,
        work: Pin<&'w mut F>,
    ) -> Pin<&'w mut F> {
        work
    }

    #[inline(always)]
    pub(in crate::backend::redis) fn failed(&self, _: &Error) {}
}

pub(in crate::backend::redis) struct ConnectSpan;

impl ConnectSpan {
    #[inline(always)]
    pub(in crate::backend::redis) fn new(_: Option<&Endpoint>, _: bool) -> Self {
        Self
    }

    #[inline(always)]
    pub(in crate::backend::redis) fn around<'w, F: Future>(
        &self,
        work: Pin<&'w mut F>,
    ) -> Pin<&'w mut F> {
        work
    }

    #[inline(always)]
    pub(in crate::backend::redis) fn failed(&self, _: &Error) {}
}

#[inline(always)]
pub(in crate::backend::redis) fn sent_to(_: Option<&Endpoint>) {}
#[inline(always)]
pub(in crate::backend::redis) fn breaker_opened(_: &str, _: &Error) {}
#[inline(always)]
pub(in crate::backend::redis) fn breaker_closed(_: &str) {}
