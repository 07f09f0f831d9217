//! [`Tag`]: what entries are removed by, with the [`Version`] under which an entry was stored. `typed/tags` says how the two are used.

use crate::error::Error;
use serde_core::de::{Error as _, Unexpected};
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU128;
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many tags an entry may have, and how long each may be, in bytes.
pub(super) const MOST_TAGS: usize = 16;
pub(super) const LONGEST_TAG: usize = 256;

/// How long a version lives, counted from when it was made. An entry that lives longer is a miss then.
pub(crate) const VERSION_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// What the keys of versions begin with, and no others: writes of such keys by callers are refused.
const RESERVED: &str = "nori-cache:tag:";

/// The key under which the version of a tag is stored.
pub(super) fn version_key(tag: &str) -> Box<str> {
    [RESERVED, tag].concat().into()
}

/// Whether this is the key of a version, of which callers keep off.
#[inline]
pub(super) fn is_reserved(key: impl AsRef<[u8]>) -> bool {
    key.as_ref().starts_with(RESERVED.as_bytes())
}

/// # Errors
/// If the key is reserved.
#[inline]
pub(super) fn check_key(key: &str) -> Result<(), Error> {
    if is_reserved(key) {
        return Err(refused(key));
    }
    Ok(())
}

#[cold]
fn refused(key: &str) -> Error {
    let allowed = format!("one that does not begin with {RESERVED:?}");
    Error::invalid_config("the key", format!("{key:?}"), allowed)
}

/// # Errors
/// If there are too many tags, or one is too long.
#[inline]
pub(super) fn check_tags<T: AsRef<str>>(tags: &[T]) -> Result<(), Error> {
    let longest = tags.iter().map(|tag| tag.as_ref().len()).max();
    if tags.len() <= MOST_TAGS && longest.unwrap_or(0) <= LONGEST_TAG {
        return Ok(());
    }
    Err(complain(tags.len(), longest.unwrap_or(0)))
}

#[cold]
fn complain(tags: usize, longest: usize) -> Error {
    if tags > MOST_TAGS {
        let allowed = format!("{MOST_TAGS} at most");
        return Error::invalid_config("the number of tags", tags, allowed);
    }
    let allowed = format!("{LONGEST_TAG} bytes at most");
    Error::invalid_config("the length of a tag", longest, allowed)
}

/// A tag of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag {
    key: Box<str>,
    version: Option<Version>,
}

impl Tag {
    /// `None`: it is not known under which version the entry was stored, so that it is taken for removed.
    pub(super) fn new(name: &str, version: Option<Version>) -> Self {
        Self {
            key: version_key(name),
            version,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.key.strip_prefix(RESERVED).unwrap_or_default()
    }

    /// Of its version.
    #[inline]
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether an entry may be shown, as far as this tag goes, where the store has this version.
    #[inline]
    pub(super) fn holds(&self, stored: Option<Version>) -> bool {
        self.version.is_some() && self.version == stored
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + self.key.len()
    }
}

/// What changes when a tag is removed: a number that no tag has had before.
///
/// It is drawn and not counted: a count would come to an old value again after the store has lost it. Two of 128 bits are the same by
/// chance once in 10³⁸ times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version(NonZeroU128);

impl Version {
    pub(crate) fn fresh() -> Self {
        // The standard library's hasher has a secret of 128 bits from the system, of each thread, and another one each time. A process
        // that was forked has the same secrets as its parent, and another number.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let from = (process::id(), now.map_or(0, |now| now.as_nanos()));
        let halves = [
            RandomState::new().hash_one(from),
            RandomState::new().hash_one(from),
        ];
        Self(
            NonZeroU128::new(u128::from(halves[0]) << 64 | u128::from(halves[1]))
                .unwrap_or(NonZeroU128::MIN),
        )
    }

    pub(super) fn to_bytes(self) -> [u8; 16] {
        self.0.get().to_be_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        NonZeroU128::new(u128::from_be_bytes(bytes)).map(Self)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// As a text of 32 hexadecimal digits, which all formats have.
impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{self:?}"))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_hex = |text: &&String| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = Some(&text).filter(|text| text.len() == 32).filter(is_hex);
        let number = number.and_then(|text| u128::from_str_radix(text, 16).ok());
        let version = number.and_then(NonZeroU128::new).map(Self);
        version.ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Str(&text), &"32 hexadecimal digits")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn versions_are_never_the_same_and_read_as_they_were_written() {
        let mut seen = HashSet::new();
        for _ in 0..1_000 {
            let version = Version::fresh();
            assert!(seen.insert(version.to_bytes()));
            assert_eq!(Version::from_bytes(version.to_bytes()), Some(version));
            let json = serde_json::to_string(&version).unwrap();
            assert_eq!(json.len(), 34);
            assert_eq!(serde_json::from_str::<Version>(&json).unwrap(), version);
        }
        assert_eq!(Version::from_bytes([0; 16]), None);
        let zeros = "0".repeat(32);
        for wrong in ["", "1", "+0000000000000000000000000000001", &zeros, "text"] {
            let json = serde_json::to_string(wrong).unwrap();
            assert!(serde_json::from_str::<Version>(&json).is_err(), "{wrong}");
        }
        assert!(serde_json::from_str::<Version>("1").is_err());
    }

    #[test]
    fn a_tag_without_a_version_never_holds() {
        let version = Version::fresh();
        assert!(Tag::new("a", Some(version)).holds(Some(version)));
        assert!(!Tag::new("a", Some(version)).holds(Some(Version::fresh())));
        assert!(!Tag::new("a", Some(version)).holds(None));
        assert!(!Tag::new("a", None).holds(None));
        assert!(!Tag::new("a", None).holds(Some(version)));
        assert_eq!(Tag::new("", None).name(), "");
        assert_eq!(Tag::new("é", None).name(), "é");
        assert!(is_reserved(Tag::new("", None).key()) && !is_reserved("nori-cache:tag"));
    }

    #[test]
    fn there_is_a_limit_for_tags() {
        let most = vec![String::from("x"); MOST_TAGS];
        assert!(check_tags(&most).is_ok());
        assert!(check_tags(&[&most[..], &most[..1]].concat()).is_err());
        assert!(check_tags(&["x".repeat(LONGEST_TAG)]).is_ok());
        assert!(check_tags(&["x".repeat(LONGEST_TAG + 1)]).is_err());
    }
}
