//! Purges by prefix and by tag.
//!
//! A backend cannot be searched, so nothing is removed: the purge is written down, with its time, in one entry of the backend that every
//! hit looks at, and whatever was asked for before that time counts as missing. So a purge holds in every process at once, and
//! also for responses that are still on their way. The list is short: when it grows, its older half is folded into one purge of everything.

use super::stored::Entry;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

/// Where the list is.
pub(crate) const KEY: &str = "nori-cache:purges";
/// More purges than these are folded.
const MOST: usize = 512;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Purges {
    /// Everything that was asked for up to this time is gone.
    all: u64,
    /// In the order of their times.
    list: Vec<Purge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Purge {
    at: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Prefix(Box<str>),
    Tag(Box<str>),
}

impl Purges {
    #[must_use]
    pub(crate) fn with(mut self, what: What, at: u64) -> Self {
        self.list.retain(|purge| purge.what != what);
        // Other processes' clocks may be ahead.
        let last = self.list.last().map_or(0, |purge| purge.at);
        self.list.push(Purge {
            at: at.max(last),
            what,
        });
        if self.list.len() > MOST {
            let folded = self.list.drain(..MOST / 2).next_back();
            self.all = folded.map_or(self.all, |purge| purge.at);
        }
        self
    }

    /// Whether an entry is gone.
    pub(crate) fn covers(&self, key: &str, entry: &Entry) -> bool {
        if self.all > 0 && entry.asked <= self.all {
            return true;
        }
        let later = self
            .list
            .iter()
            .rev()
            .take_while(|purge| purge.at >= entry.asked);
        later.into_iter().any(|purge| match &purge.what {
            What::Prefix(prefix) => key.starts_with(&**prefix),
            What::Tag(tag) => entry.tags.contains(tag),
        })
    }
}

impl Serialize for Purges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list: Vec<(u64, &str, &str)> = self
            .list
            .iter()
            .map(|purge| match &purge.what {
                What::Prefix(prefix) => (purge.at, "prefix", &**prefix),
                What::Tag(tag) => (purge.at, "tag", &**tag),
            })
            .collect();
        (self.all, list).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Purges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (all, list) = <(u64, Vec<(u64, String, String)>)>::deserialize(deserializer)?;
        let list = list.into_iter().map(|(at, kind, text)| Purge {
            at,
            what: match kind.as_str() {
                "tag" => What::Tag(text.into()),
                _ => What::Prefix(text.into()),
            },
        });
        Ok(Self {
            all,
            list: list.collect(),
        })
    }
}
