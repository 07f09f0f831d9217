//! [`StoredTag`]: a tag of a stored response; and [`TagVersion`]: what lies in the store for a tag.

use super::purge_count::PurgeCount;
use crate::backend::tag::Version;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

/// What the keys of versions begin with. No request's key begins so, whatever is in the tag.
const KEY: &str = "#tag:";

/// A tag, and the version under which a response was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredTag {
    key: Box<str>,
    /// `None` before the response is stored.
    pub(crate) version: Option<Version>,
}

impl StoredTag {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            key: [KEY, name].concat().into(),
            version: None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.key.strip_prefix(KEY).unwrap_or_default()
    }

    /// Where its version lies.
    #[inline]
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Whether a response may be shown, as far as this tag goes, where this lies in the store.
    #[inline]
    pub(crate) fn holds(&self, stored: Option<TagVersion>) -> bool {
        self.version.is_some() && self.version == stored.map(|stored| stored.id)
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.key.len()
    }
}

/// What lies in the store for a tag that is in use. Another one takes its place with every purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TagVersion {
    /// No purge of the tag was counted after this one.
    pub(crate) last: PurgeCount,
    /// A number that no tag has had before: what stored responses are compared with.
    pub(crate) id: Version,
}

impl TagVersion {
    pub(crate) fn fresh(last: PurgeCount) -> Self {
        Self {
            last,
            id: Version::fresh(),
        }
    }
}

impl Serialize for TagVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.last.get(), self.id).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TagVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (last, id) = Deserialize::deserialize(deserializer)?;
        Ok(Self {
            last: PurgeCount::new(last),
            id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_holds_under_its_own_version_only() {
        let mut tag = StoredTag::new("product/42");
        assert_eq!((tag.name(), tag.key()), ("product/42", "#tag:product/42"));
        let version = TagVersion::fresh(PurgeCount::new(7));
        assert!(!tag.holds(None) && !tag.holds(Some(version)));
        tag.version = Some(version.id);
        assert!(!tag.holds(None) && tag.holds(Some(version)));
        assert!(!tag.holds(Some(TagVersion::fresh(version.last))));
        let json = serde_json::to_string(&version).unwrap();
        assert_eq!(
            serde_json::from_str::<TagVersion>(&json).unwrap(),
            version,
            "{json}"
        );
    }
}
