//! The format postcard.

#[cfg_attr(feature = "postcard", path = "enabled.rs")]
#[cfg_attr(not(feature = "postcard"), path = "disabled.rs")]
mod imp;

pub(in crate::backend) use imp::{Enabled, decode, encode};
