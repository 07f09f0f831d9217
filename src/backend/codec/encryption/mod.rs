//! Encryption.

#[cfg_attr(feature = "encryption", path = "enabled.rs")]
#[cfg_attr(not(feature = "encryption"), path = "disabled.rs")]
mod imp;

#[cfg(feature = "encryption")]
pub use imp::Keys;
#[cfg(not(feature = "encryption"))]
pub(super) use imp::Keys;
pub(super) use imp::PREFIX;
