//! [`Signpost`]: which header fields tell the variants of a key apart.

use crate::response::clock::UnixMillis;
use http::header::HeaderName;
use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

/// The most names that are read from a signpost: those of `Vary`, and those that the route's owner has added.
const MAX_NAMES: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signpost {
    /// The family of variants it stands for. Other variants of the key do not count.
    pub(crate) family: u64,
    pub(crate) names: Vec<HeaderName>,
    /// When the last variant expires.
    pub(crate) until: UnixMillis,
}

impl Serialize for Signpost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names: Vec<&str> = self.names.iter().map(HeaderName::as_str).collect();
        (self.family, names, self.until.get()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signpost {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (family, names, until) = <(u64, Vec<String>, u64)>::deserialize(deserializer)?;
        let until = UnixMillis::new(until);
        if until > UnixMillis::END || names.len() > MAX_NAMES {
            return Err(D::Error::custom("no signpost of ours"));
        }
        let names: Result<Vec<HeaderName>, _> = names
            .iter()
            .map(|name| HeaderName::from_bytes(name.as_bytes()))
            .collect();
        Ok(Self {
            family,
            names: names.map_err(D::Error::custom)?,
            until,
        })
    }
}
