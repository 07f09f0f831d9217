//! The count of purges by tag in the backend.

use super::handle::Storage;
use super::own_keys;
use super::reading::look_at_latest;
use crate::backend::Value;
use crate::error::Error;
use crate::response::entry::purge_count::PurgeCount;
use crate::time::Ttl;

/// How often somebody tries to begin a count, or to add to one, that others begin, too.
const ATTEMPTS: u32 = 16;

const NEVER: Option<Ttl> = Some(Ttl::Never);

/// A count that was in the store is there no more, or what is there is none.
#[derive(Debug)]
pub(super) struct Lost;

/// The count that this is, whoever wrote it.
#[inline]
pub(super) fn count_of(value: &Value) -> Option<PurgeCount> {
    let count = value.to::<i64>().ok()?;
    u64::try_from(count).ok().map(PurgeCount::new)
}

impl Storage {
    /// The count that this is; `None` if there has been none so far. It must reach to `known`, one that was known of before it was
    /// read.
    ///
    /// # Errors
    /// If it is none of ours, or was lost.
    pub(super) fn read_count(
        &self,
        value: Option<&Value>,
        known: Option<PurgeCount>,
    ) -> Result<Option<PurgeCount>, Lost> {
        let Some(value) = value else {
            return known.map_or(Ok(None), |_| Err(Lost));
        };
        let count = count_of(value).ok_or(Lost)?;
        if !count.is_possible(self.now()) || known.is_some_and(|known| count < known) {
            return Err(Lost);
        }
        self.shared.tags.saw(count);
        Ok(Some(count))
    }

    /// As [`read_count`](Self::read_count). A count that was lost begins anew.
    ///
    /// # Errors
    /// Those of the backend.
    pub(super) async fn count_or_begin(
        &self,
        value: Option<&Value>,
        known: Option<PurgeCount>,
    ) -> Result<Option<PurgeCount>, Error> {
        match self.read_count(value, known) {
            Ok(count) => Ok(count),
            Err(Lost) => self.begin_count().await.map(Some),
        }
    }

    /// The count that is in the store. If there is none, or what is there has lost something, one begins: tags that were in use
    /// before have no versions in its series, and responses that were stored before count as missing.
    ///
    /// # Errors
    /// Those of the backend; if others change it all the time.
    pub(super) async fn begin_count(&self) -> Result<PurgeCount, Error> {
        let backend = &**self.backend()?;
        let key = own_keys::PURGE_COUNT;
        for _ in 0..ATTEMPTS {
            let known = self.shared.tags.count();
            let found = look_at_latest(backend, key).await?;
            if let Ok(Some(count)) = self.read_count(found.as_ref(), known) {
                return Ok(count);
            }
            let count = PurgeCount::begin(self.now(), known);
            let begun = backend.compare_and_set(key, found.as_ref(), stored(count), NEVER);
            match begun.await {
                Ok(true) => {
                    self.shared.tags.saw(count);
                    return Ok(count);
                }
                // Another has begun one.
                Ok(false) => (),
                Err(error) if error.is_wrong_type() => drop(backend.delete_value(key).await?),
                Err(error) => return Err(error),
            }
        }
        Err(contention())
    }

    /// A count that is greater than any that was in the store when this was called. The store has it.
    ///
    /// # Errors
    /// Those of the backend; if others change the count all the time.
    pub(super) async fn next_count(&self) -> Result<PurgeCount, Error> {
        let backend = &**self.backend()?;
        let key = own_keys::PURGE_COUNT;
        for _ in 0..ATTEMPTS {
            // 1. Look.
            let known = self.shared.tags.count();
            let found = look_at_latest(backend, key).await?;
            let Ok(Some(count)) = self.read_count(found.as_ref(), known) else {
                self.begin_count().await?;
                continue;
            };
            // 2. Add one. If others have added meanwhile, that will do: they were later than the look.
            let next = count.next();
            let is_next = backend.compare_and_set(key, found.as_ref(), stored(next), NEVER);
            let is_there = is_next.await? || {
                let found = look_at_latest(backend, key).await?;
                let now = found.as_ref().and_then(count_of);
                now.is_some_and(|now| now.reaches(next))
            };
            if is_there {
                self.shared.tags.saw(next);
                return Ok(next);
            }
        }
        Err(contention())
    }
}

/// A count as it lies in the store. It is not added to there, because a store that encrypts adds to bare integers only.
fn stored(count: PurgeCount) -> Value {
    Value::integer(count.get().cast_signed())
}

fn contention() -> Error {
    Error::contention(format!(
        "the count of purges was lost during each of {ATTEMPTS} attempts"
    ))
}
