//! With the feature `tracing`: events with the target `nori_cache::backend`. They name neither keys nor what is stored.

use crate::backend::undecodable::Reason;
use tracing::{debug, warn};

macro_rules! target {
    () => {
        "nori_cache::backend"
    };
}

/// A read found a value that it could not read as its type: a miss. One that was tampered with is a warning.
pub(in crate::backend) fn undecodable(
    operation: &'static str,
    reason: Reason,
    wanted: &'static str,
) {
    let why = reason.name();
    if reason == Reason::Forged {
        warn!(target: target!(), operation, why, wanted, "undecodable");
    } else {
        debug!(target: target!(), operation, why, wanted, "undecodable");
    }
}
