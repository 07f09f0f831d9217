//! The format MessagePack.

#[cfg_attr(feature = "msgpack", path = "enabled.rs")]
#[cfg_attr(not(feature = "msgpack"), path = "disabled.rs")]
mod imp;

pub(in crate::backend) use imp::{Enabled, decode, encode};
