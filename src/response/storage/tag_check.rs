//! Whether the tags of a stored response have the versions under which it was stored.

use super::handle::Storage;
use super::lookup::Lookup;
use super::own_keys;
use super::purge_bucket;
use super::purge_count::count_of;
use super::reading::{look_at_each, look_at_latest};
use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use crate::response::entry::purge_count::PurgeCount;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::entry::stored_tag::{StoredTag, TagVersion};

/// The version that this is.
#[inline]
pub(super) fn version_of(value: &Value) -> Option<TagVersion> {
    match value.downcast_ref() {
        Some(version) => Some(*version),
        // A copy of what lies elsewhere is decoded once for all who look at it.
        None => value.to_shared().ok().map(|version| *version),
    }
}

/// The bucket of a tag.
pub(super) fn bucket_of(tag: &StoredTag) -> usize {
    purge_bucket::of(tag.name())
}

/// Whether a count has lost nothing that a response has observed.
#[inline]
fn reaches(count: Option<PurgeCount>, stored: &StoredResponse) -> bool {
    let observed = stored.observed_tags.stored;
    count.is_some_and(|count| observed.is_some_and(|observed| count.reaches(observed)))
}

/// Whether all tags hold. `None` if that cannot be said without waiting.
#[inline]
fn hold_now(backend: &dyn CacheBackend, tags: &[StoredTag]) -> Option<bool> {
    for tag in tags {
        let mut stored = None;
        if !backend.read_now(tag.key(), &mut |value| stored = version_of(value)) {
            return None;
        }
        if !tag.holds(stored) {
            return Some(false);
        }
    }
    Some(true)
}

impl Storage {
    /// Whether no tag of a response was purged, where that takes no waiting; false if it does.
    pub(super) fn holds_for_sure(
        &self,
        backend: &dyn CacheBackend,
        stored: &StoredResponse,
    ) -> bool {
        let mut count = None;
        backend.read_now(own_keys::PURGE_COUNT, &mut |value| count = count_of(value));
        reaches(count, stored)
            && !count.is_none_or(|count| self.shared.tags.goes_beyond(count))
            && hold_now(backend, &stored.tags) == Some(true)
    }

    /// Whether no tag of a response was purged, where this is the count. `None` if that cannot be said without waiting.
    pub(super) fn holds_now(
        &self,
        backend: &dyn CacheBackend,
        stored: &StoredResponse,
        count: Option<PurgeCount>,
    ) -> Option<bool> {
        if stored.tags.is_empty() {
            return Some(true);
        }
        if reaches(count, stored) {
            hold_now(backend, &stored.tags)
        } else {
            // It may be a copy that is older than the response.
            None
        }
    }

    /// As [`holds_now`](Self::holds_now).
    ///
    /// # Errors
    /// Those of the backend.
    pub(super) async fn holds(
        &self,
        backend: &dyn CacheBackend,
        stored: &StoredResponse,
        count: Option<PurgeCount>,
    ) -> Result<bool, Error> {
        if let Some(holds) = self.holds_now(backend, stored, count) {
            return Ok(holds);
        }
        if !reaches(count, stored) {
            let count = look_at_latest(backend, own_keys::PURGE_COUNT).await?;
            if !reaches(count.as_ref().and_then(count_of), stored) {
                return Ok(false);
            }
        }
        let keys: Vec<&str> = stored.tags.iter().map(StoredTag::key).collect();
        let found = look_at_each(backend, &keys).await?;
        let mut pairs = stored.tags.iter().zip(&found);
        Ok(pairs.all(|(tag, found)| tag.holds(found.as_ref().and_then(version_of))))
    }

    /// Whether a response that another request's handler has made is purged for the request of this lookup.
    pub(crate) async fn is_purged(
        &self,
        key: &str,
        lookup: &Lookup,
        stored: &StoredResponse,
    ) -> bool {
        if lookup.purges.covers(key, stored) {
            return true;
        }
        // Where the store cannot be asked, nobody knows.
        stored.has_tags() && self.is_tag_purged(lookup, stored).await.unwrap_or(true)
    }

    async fn is_tag_purged(&self, lookup: &Lookup, stored: &StoredResponse) -> Result<bool, Error> {
        let backend = &**self.backend()?;
        let observed = stored.observed_tags;
        let now = lookup.observed.tags;
        // 1. One that was found in the store is looked at like any other.
        if stored.tags.iter().all(|tag| tag.version.is_some()) {
            return Ok(!self.holds(backend, stored, now.stored).await?);
        }
        // 2. One that is just made has no versions yet. See whether there was any purge between its request and this one.
        let known = &self.shared.tags;
        let mut buckets = stored.tags.iter().map(bucket_of);
        if now.made > observed.made
            && buckets.any(|bucket| known.is_purged_since(observed.made, bucket))
        {
            return Ok(true);
        }
        if observed.has_observed(now) {
            return Ok(false);
        }
        // 3. See whether it was of one of these tags. Who cannot tell takes it for one.
        let Some(since) = now.stored.and_then(|now| observed.since(now)) else {
            return Ok(true);
        };
        let keys: Vec<&str> = stored.tags.iter().map(StoredTag::key).collect();
        let found = look_at_each(backend, &keys).await?;
        let is_older = |found: &Option<Value>| {
            let version = found.as_ref().and_then(version_of);
            version.is_some_and(|version| since.reaches(version.last))
        };
        Ok(!(found.len() == keys.len() && found.iter().all(is_older)))
    }
}
