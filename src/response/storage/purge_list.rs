//! What purges leave behind, so that no response which was asked for before them stays in the backend or is served after them,
//! in no process.
//!
//! **By prefix and tag.** A backend cannot be searched, so nothing is removed: the purge is written down, with a number, in one
//! entry of the backend that every hit looks at. Entries say which purge was the last one when their handler was started, and
//! what a later one covers counts as missing. Numbers are the times of the purges, or one more than the last: so no clocks need
//! agree. The list is short: when it grows, its older half is folded into one purge of everything.
//!
//! A list that we cannot have written, because it is not in order or has numbers from [more than a day](MOST_AHEAD) ahead of
//! now, is replaced by a purge of everything. So is one that does not reach to a purge which [this layer knows](crate::response::storage::known_purges) was
//! in it, and one that is missing although there was such a purge: it was lost since. An entry that has seen a purge which the
//! list does not reach to is gone as well: what the list said of the entry is lost.
//!
//! **By key.** The entry and its variants are removed; what is left is a stamp, shared by the keys of one of [`BUCKETS`]
//! buckets, that is written before: a random number, so that it is never again what it was. A handler's response is stored only
//! if the stamp is what it was before the handler was started, and is removed again if it is not once the response is stored: so
//! either the purge sees the response, or its writer sees the purge. In the latter case it can be seen until it is removed. Other
//! keys of a bucket lose no more than the storing of a response that is on its way.
//!
//! The store may lose a stamp. So the layer that purges counts that too, for the same bucket, before it writes the stamp, and
//! what is compared is both: what other layers and processes have left in the store, and what this one has counted.

use crate::response::entry::stored_response::Entry;
use crate::response::http::cache_status::Line;
use crate::response::storage::lookup::fnv1a;
use crate::response::storage::own_keys;
use serde_core::de::Error as _;
use serde_core::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// More purges than these are folded.
const MOST: usize = 512;
/// Stamps of purges by key.
pub(crate) const BUCKETS: u64 = 4096;
/// How long a stamp stays: longer than handlers run.
pub(crate) const STAMP_TTL: Duration = Duration::from_secs(60 * 60);

/// How far ahead of ours, in milliseconds, the clock may be that a time in the store comes from: a day, as clocks are at worst
/// in another time zone. What lies further ahead was written by nobody.
pub(crate) const MOST_AHEAD: u64 = 24 * 60 * 60 * 1000;

/// Which of the [`BUCKETS`] a key is in.
pub(crate) fn bucket(key: &str) -> u64 {
    fnv1a([key.as_bytes()]) % BUCKETS
}

/// Where the stamp for a key is.
pub(crate) fn stamp_key(key: &str) -> Line {
    own_keys::stamp(bucket(key))
}

/// What was purged when a request came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// The last purge in the list.
    pub(crate) last: u64,
    /// Of purges of the key.
    pub(crate) stamps: Stamps,
}

/// What tells purges of a key from those before: the stamp in the store, 0 if there is none, and how many this layer has counted.
pub(crate) type Stamps = [u64; 2];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Purges {
    /// All purges up to this one are of everything.
    all: u64,
    /// In the order of their numbers.
    list: Vec<Purge>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Purge {
    number: u64,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Prefix(Box<str>),
    Tag(Box<str>),
}

impl Purges {
    /// One of everything, where what was written down cannot be read.
    pub(crate) fn of_everything(number: u64) -> Self {
        Self {
            all: number,
            list: Vec::new(),
        }
    }

    /// Whether one of us may have written this.
    pub(crate) fn is_ours(&self, now: u64) -> bool {
        let before = std::iter::once(self.all).chain(self.list.iter().map(|purge| purge.number));
        let is_in_order = before
            .zip(&self.list)
            .all(|(before, purge)| before < purge.number);
        is_in_order && self.list.len() <= MOST && self.last() <= now.saturating_add(MOST_AHEAD)
    }

    /// The number of the last one.
    pub(crate) fn last(&self) -> u64 {
        self.list.last().map_or(self.all, |purge| purge.number)
    }

    #[must_use]
    pub(crate) fn with(mut self, what: What, now: u64) -> Self {
        let number = now.max(self.last().saturating_add(1));
        self.list.retain(|purge| purge.what != what);
        self.list.push(Purge { number, what });
        if self.list.len() > MOST {
            let folded = self.list.drain(..MOST / 2).next_back();
            self.all = folded.map_or(self.all, |purge| purge.number);
        }
        self
    }

    /// Whether an entry that was read before the list is gone.
    pub(crate) fn hides(&self, key: &str, entry: &Entry) -> bool {
        entry.seen > self.last() || self.covers(key, entry)
    }

    /// Whether an entry is purged.
    pub(crate) fn covers(&self, key: &str, entry: &Entry) -> bool {
        if entry.seen < self.all {
            return true;
        }
        let later = self
            .list
            .iter()
            .rev()
            .take_while(|purge| purge.number > entry.seen);
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
                What::Prefix(prefix) => (purge.number, "prefix", &**prefix),
                What::Tag(tag) => (purge.number, "tag", &**tag),
            })
            .collect();
        (self.all, list).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Purges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (all, list) = <(u64, Vec<(u64, String, String)>)>::deserialize(deserializer)?;
        let list = list.into_iter().map(|(number, kind, text)| {
            let what = match kind.as_str() {
                "tag" => What::Tag(text.into()),
                "prefix" => What::Prefix(text.into()),
                _ => return Err(D::Error::custom("a purge of an unknown kind")),
            };
            Ok(Purge { number, what })
        });
        Ok(Self {
            all,
            list: list.collect::<Result<_, _>>()?,
        })
    }
}
