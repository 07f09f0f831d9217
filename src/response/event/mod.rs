//! What the layer tells of its work.

#[cfg_attr(feature = "tracing", path = "enabled.rs")]
#[cfg_attr(not(feature = "tracing"), path = "disabled.rs")]
mod imp;

pub(crate) use imp::{
    Unattended, WaitingClient, answered, backend_failed, bypassed, kept, path_unknown,
};
