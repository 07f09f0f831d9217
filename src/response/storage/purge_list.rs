//! [`PurgeList`]: the purges by prefix, as they lie in the backend.
//!
//! [Numbers](PurgeNumber) rise from purge to purge, so no clocks need agree. The list is short: when it grows too long, its older
//! half is folded into one purge of everything.

use crate::response::clock::UnixMillis;
use crate::response::entry::purge_number::PurgeNumber;
use crate::response::entry::stored_response::StoredResponse;
use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};

/// The most purges that are in the list.
const MAX_PURGES: usize = 512;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PurgeList {
    /// All purges up to this one are of everything.
    all: PurgeNumber,
    /// The later ones, in the order of their numbers.
    list: Vec<Purge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Purge {
    number: PurgeNumber,
    target: PurgeTarget,
}

/// Which responses a purge is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PurgeTarget {
    Prefix(Box<str>),
    /// Earlier versions have written these. Tags have versions now, so none is added.
    Tag(Box<str>),
}

impl PurgeList {
    /// A purge of everything, where what was recorded cannot be read.
    pub(crate) fn of_everything(number: PurgeNumber) -> Self {
        Self {
            all: number,
            list: Vec::new(),
        }
    }

    /// Whether one of us may have written this: it is in order, short enough, and has no number from the future.
    pub(crate) fn is_credible(&self, now: UnixMillis) -> bool {
        let before = std::iter::once(self.all).chain(self.list.iter().map(|purge| purge.number));
        let is_in_order = before
            .zip(&self.list)
            .all(|(before, purge)| before < purge.number);
        is_in_order && self.list.len() <= MAX_PURGES && self.last().is_possible(now)
    }

    /// The number of the last purge.
    #[inline]
    pub(crate) fn last(&self) -> PurgeNumber {
        self.list.last().map_or(self.all, |purge| purge.number)
    }

    /// The list with one more purge.
    #[must_use]
    pub(crate) fn with(mut self, target: PurgeTarget, now: UnixMillis) -> Self {
        let number = self.last().next(now);
        self.list.retain(|purge| purge.target != target);
        self.list.push(Purge { number, target });
        if self.list.len() > MAX_PURGES {
            let folded = self.list.drain(..MAX_PURGES / 2).next_back();
            self.all = folded.map_or(self.all, |purge| purge.number);
        }
        self
    }

    /// Whether a response that was read before the list counts as missing: it is purged, or the list has lost a purge that the
    /// response has observed.
    #[inline]
    pub(crate) fn hides(&self, key: &str, stored: &StoredResponse) -> bool {
        stored.observed_purge > self.last() || self.covers(key, stored)
    }

    /// Whether a response is purged.
    pub(crate) fn covers(&self, key: &str, stored: &StoredResponse) -> bool {
        let observed = stored.observed_purge;
        if observed < self.all {
            return true;
        }
        let later = self
            .list
            .iter()
            .rev()
            .take_while(|purge| purge.number > observed);
        later.into_iter().any(|purge| match &purge.target {
            PurgeTarget::Prefix(prefix) => key.starts_with(&**prefix),
            PurgeTarget::Tag(tag) => stored.tags.iter().any(|own| own.name() == &**tag),
        })
    }
}

impl Serialize for PurgeList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list: Vec<(u64, &str, &str)> = self
            .list
            .iter()
            .map(|purge| match &purge.target {
                PurgeTarget::Prefix(prefix) => (purge.number.get(), "prefix", &**prefix),
                PurgeTarget::Tag(tag) => (purge.number.get(), "tag", &**tag),
            })
            .collect();
        (self.all.get(), list).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PurgeList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (all, list) = <(u64, Vec<(u64, String, String)>)>::deserialize(deserializer)?;
        let list = list.into_iter().map(|(number, kind, text)| {
            let target = match kind.as_str() {
                "tag" => PurgeTarget::Tag(text.into()),
                "prefix" => PurgeTarget::Prefix(text.into()),
                _ => return Err(D::Error::custom("a purge of an unknown kind")),
            };
            Ok(Purge {
                number: PurgeNumber::new(number),
                target,
            })
        });
        Ok(Self {
            all: PurgeNumber::new(all),
            list: list.collect::<Result<_, _>>()?,
        })
    }
}
