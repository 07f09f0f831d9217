//! Compression.

#[cfg_attr(feature = "zstd", path = "enabled.rs")]
#[cfg_attr(not(feature = "zstd"), path = "disabled.rs")]
mod imp;

pub(super) use imp::Zstd;
