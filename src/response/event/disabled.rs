//! Without the feature `tracing` nothing is told.

use crate::error::Error;
use crate::response::outcome::Outcome;
use crate::response::policy::refusal::Refusal;
use crate::response::request::bypass::Bypass;
use std::sync::Arc;

#[inline(always)]
pub(crate) fn backend_failed(_: &Error) {}
#[inline(always)]
pub(crate) fn answered(_: Outcome, _: &str, _: bool) {}
#[inline(always)]
pub(crate) fn bypassed(_: Bypass, _: &str) {}
#[inline(always)]
pub(crate) fn path_unknown() {}
#[inline(always)]
pub(crate) fn kept(_: Outcome, _: &str, _: usize) {}

pub(crate) struct WaitingClient;

impl WaitingClient {
    #[inline(always)]
    pub(crate) fn new(_: &Arc<str>, _: bool) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn answered(&self, _: Outcome) {}
}

pub(crate) struct Unattended;

impl Unattended {
    #[inline(always)]
    pub(crate) fn new(_: &Arc<str>) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn dropped(&self, _: Refusal) {}
}
