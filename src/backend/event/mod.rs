//! What backends tell of their work.

#[cfg_attr(feature = "tracing", path = "enabled.rs")]
#[cfg_attr(not(feature = "tracing"), path = "disabled.rs")]
mod imp;

pub(super) use imp::{LoadSpan, undecodable};
