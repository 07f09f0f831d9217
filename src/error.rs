//! The one error type.

use std::fmt;

/// What went wrong; opaque, with predicates to tell the kinds apart.
///
/// The text names what was given and what is allowed.
///
/// ```
/// let error = nori_cache::Cache::<u64, u64>::builder().max_keys(0).build().unwrap_err();
/// assert!(error.is_invalid_config());
/// assert_eq!(error.to_string(), "max_keys is 0; it must be at least 1");
/// ```
#[derive(Debug)]
pub struct Error {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    InvalidConfig {
        name: &'static str,
        given: String,
        allowed: String,
    },
}

impl Error {
    pub(crate) fn invalid_config(
        name: &'static str,
        given: impl fmt::Display,
        allowed: impl fmt::Display,
    ) -> Self {
        Self {
            kind: Kind::InvalidConfig {
                name,
                given: given.to_string(),
                allowed: allowed.to_string(),
            },
        }
    }

    /// Whether a setting has a value that is not allowed.
    pub fn is_invalid_config(&self) -> bool {
        matches!(self.kind, Kind::InvalidConfig { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::InvalidConfig {
                name,
                given,
                allowed,
            } => write!(f, "{name} is {given}; it must be {allowed}"),
        }
    }
}

impl std::error::Error for Error {}
