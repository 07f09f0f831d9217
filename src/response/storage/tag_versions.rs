//! The versions of tags: those under which a response is stored, and the new ones that purges make.

use super::handle::Storage;
use super::own_keys;
use super::purge_count::count_of;
use super::reading::{look, look_at_each, look_at_latest};
use super::tag_check::{bucket_of, version_of};
use crate::backend::tag::{VERSION_TTL, Version};
use crate::backend::{CacheBackend, Value};
use crate::error::Error;
use crate::response::entry::purge_count::PurgeCount;
use crate::response::entry::stored_tag::{StoredTag, TagVersion};
use crate::response::entry::tag_purges::TagPurges;
use crate::response::policy::tags::LONGEST_TAG;
use crate::time::Ttl;

/// How often a writer looks at versions that others make and purge.
const ATTEMPTS: u32 = 16;

const TTL: Ttl = Ttl::After(VERSION_TTL);

/// Under what a response with tags is stored.
pub(super) struct Versions {
    /// What its handler has observed.
    pub(super) observed: PurgeCount,
    /// In the order of the tags.
    pub(super) ids: Vec<Version>,
}

/// What a writer knows of one tag.
struct Open<'t> {
    tag: &'t StoredTag,
    found: Option<Value>,
    /// What was found, if it is a version of the series, and no later than the count.
    version: Option<TagVersion>,
}

impl Storage {
    /// The versions of a response's tags. Those that are missing are made. `None` if a tag was purged since the request came, or if
    /// nobody knows.
    ///
    /// # Errors
    /// Those of the backend.
    pub(super) async fn versions(
        &self,
        backend: &dyn CacheBackend,
        tags: &[StoredTag],
        observed: TagPurges,
    ) -> Result<Option<Versions>, Error> {
        let mut keys: Vec<&str> = tags.iter().map(StoredTag::key).collect();
        keys.push(own_keys::PURGE_COUNT);
        for _ in 0..ATTEMPTS {
            // 1. Look.
            let known = self.shared.tags.count();
            let mut found = look_at_each(backend, &keys).await?;
            let count = found.pop().flatten();
            let count = match self.count_or_begin(count.as_ref(), known).await? {
                Some(count) => count,
                None => self.begin_count().await?,
            };
            let Some(since) = observed.since(count) else {
                return Ok(None);
            };
            let mut open: Vec<Open<'_>> = tags
                .iter()
                .zip(found)
                .map(|(tag, found)| {
                    let version = found.as_ref().and_then(version_of);
                    let version = version.filter(|version| count.reaches(version.last));
                    Open {
                        tag,
                        found,
                        version,
                    }
                })
                .collect();
            // 2. Make what is missing.
            if open.iter().any(|open| open.version.is_none())
                && !make(backend, &mut open, count).await?
            {
                return Ok(None);
            }
            // 3. See whether one of them was purged since. Where another has made a version meanwhile, look again.
            let versions: Option<Vec<TagVersion>> = open.iter().map(|open| open.version).collect();
            let Some(versions) = versions else {
                continue;
            };
            let is_purged_here = |tag: &StoredTag| {
                let known = &self.shared.tags;
                known.is_purged_since(observed.made, bucket_of(tag))
            };
            if !versions.iter().all(|version| since.reaches(version.last))
                || tags.iter().any(is_purged_here)
            {
                return Ok(None);
            }
            return Ok(Some(Versions {
                observed: since,
                ids: versions.iter().map(|version| version.id).collect(),
            }));
        }
        Ok(None)
    }

    /// Makes all responses with this tag count as missing.
    ///
    /// # Errors
    /// Those of the backend.
    pub(crate) async fn purge_tag(&self, name: &str) -> Result<(), Error> {
        if name.len() > LONGEST_TAG {
            // No stored response has it.
            return Ok(());
        }
        let backend = &**self.backend()?;
        let tag = StoredTag::new(name);
        // 1. Note the purge, before the store is touched.
        self.shared.tags.add(bucket_of(&tag));
        // 2. Count it. Handlers that were started before have observed less.
        let count = self.next_count().await?;
        // 3. Change the version. A later purge may have done so already: then its count stays.
        if let Some(found) = look(backend, tag.key()).await? {
            let last = version_of(&found).map(|version| version.last);
            let last = last.filter(|last| last.reaches(count)).unwrap_or(count);
            let version = Value::new(TagVersion::fresh(last))?;
            let is_changed = backend
                .compare_and_set(tag.key(), Some(&found), version, Some(TTL))
                .await?;
            if is_changed {
                return Ok(());
            }
        }
        // 4. Where there is none, or others change it as well, take away what there may be. So a purge of a tag that no stored
        //    response has leaves nothing.
        backend.delete_value(tag.key()).await.map(drop)
    }
}

/// Makes versions where there are none. False if there was a purge meanwhile: it may have been of one of these tags, and its version
/// may be lost.
async fn make(
    backend: &dyn CacheBackend,
    open: &mut [Open<'_>],
    count: PurgeCount,
) -> Result<bool, Error> {
    let fresh = TagVersion::fresh;
    let missing: Vec<&mut Open<'_>> = open.iter_mut().filter(|o| o.version.is_none()).collect();
    let versions: Vec<TagVersion> = missing.iter().map(|_| fresh(count)).collect();
    let keys: Vec<&str> = missing.iter().map(|open| open.tag.key()).collect();
    // 1. Store them, only where nobody else has.
    let mut entries = Vec::with_capacity(missing.len());
    for (open, version) in missing.iter().zip(&versions) {
        let value = Value::new(*version)?;
        entries.push((open.tag.key(), open.found.as_ref(), value));
    }
    let stored = match backend.compare_and_set_many(entries, Some(TTL)).await {
        Err(error) if error.is_wrong_type() => {
            // None is made. The next look finds that none is there.
            backend.delete_values(&keys).await?;
            return Ok(true);
        }
        stored => stored?,
    };
    // 2. See whether the count is still what it was.
    let now = look_at_latest(backend, own_keys::PURGE_COUNT).await?;
    if now.as_ref().and_then(count_of) != Some(count) {
        backend.delete_values(&keys).await?;
        return Ok(false);
    }
    for ((open, version), stored) in missing.into_iter().zip(versions).zip(stored) {
        open.version = stored.then_some(version);
    }
    Ok(true)
}
