//! The backend of a layer that was given none.

#[cfg_attr(feature = "global", path = "enabled.rs")]
#[cfg_attr(not(feature = "global"), path = "disabled.rs")]
mod imp;

pub(crate) use imp::find;
