//! TLS, with rustls.

use crate::error::Error;
use rustls::crypto::{CryptoProvider, ring};

/// Makes sure that rustls has a provider of cryptography: the program's own choice if it made one, else ring. Without one the
/// first handshake would panic.
///
/// # Errors
/// None: only the function that takes its place without the feature fails.
pub(in crate::backend::redis) fn prepare(_: &'static str) -> Result<(), Error> {
    if CryptoProvider::get_default().is_none() {
        // An error means that another thread was faster.
        let _ = ring::default_provider().install_default();
    }
    Ok(())
}
