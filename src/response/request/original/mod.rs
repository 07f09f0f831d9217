//! The URI as the client sent it, where a router has shortened the one that the service sees.

mod axum_bodies;
#[cfg_attr(feature = "axum", path = "enabled.rs")]
#[cfg_attr(not(feature = "axum"), path = "disabled.rs")]
mod imp;

pub(crate) use imp::{is_whole, uri};
