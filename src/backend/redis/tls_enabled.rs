//! TLS, with rustls.

use crate::error::Error;
use rustls::crypto::{CryptoProvider, ring};

/// Sees to it that rustls has a provider of cryptography: the program's own choice if it made one, else ring. Without one the
/// first handshake would panic.
///
/// # Errors
/// None: its twin, which is used without the feature, has one.
pub(super) fn prepare(_: &'static str) -> Result<(), Error> {
    if CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster.
        let _ = ring::default_provider().install_default();
    }
    Ok(())
}
