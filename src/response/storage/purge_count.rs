//! The count of purges by tag in the backend.

use super::handle::Storage;
use super::own_keys;
use super::reading::look_at_latest;
use crate::backend::Value;
use crate::error::Error;
use crate::response::entry::purge_count::PurgeCount;
use crate::time::Ttl;

/// How often somebody tries to begin a count that others begin, too.
const ATTEMPTS: u32 = 16;

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
            Err(Lost) => self.begin_count(false).await.map(Some),
        }
    }

    /// The count that is in the store. If there is none, or what is there has lost something, one begins: tags that were in use
    /// before have no versions in its series, and responses that were stored before count as missing. `is_lost`: what is there is
    /// known to have lost something, whatever it says.
    ///
    /// # Errors
    /// Those of the backend; if others change it all the time.
    pub(super) async fn begin_count(&self, mut is_lost: bool) -> Result<PurgeCount, Error> {
        let backend = &**self.backend()?;
        let key = own_keys::PURGE_COUNT;
        for _ in 0..ATTEMPTS {
            let known = self.shared.tags.count();
            let found = look_at_latest(backend, key).await?;
            let standing = self.read_count(found.as_ref(), known);
            if let Ok(Some(count)) = standing
                && !is_lost
            {
                return Ok(count);
            }
            let count = PurgeCount::begin(self.now(), known);
            let value = Value::integer(count.get().cast_signed());
            let begun = backend.compare_and_set(key, found.as_ref(), value, Some(Ttl::Never));
            match begun.await {
                Ok(true) => {
                    self.shared.tags.saw(count);
                    return Ok(count);
                }
                // Another has begun one.
                Ok(false) => is_lost = false,
                Err(error) if error.is_wrong_type() => drop(backend.delete_value(key).await?),
                Err(error) => return Err(error),
            }
        }
        Err(Error::contention(format!(
            "the count of purges changed during each of {ATTEMPTS} attempts"
        )))
    }

    /// Counts one more purge, and says how many there are with it: more than anybody has seen before.
    ///
    /// # Errors
    /// Those of the backend; if others change the count all the time.
    pub(super) async fn next_count(&self) -> Result<PurgeCount, Error> {
        let backend = self.backend()?;
        let tags = &self.shared.tags;
        for _ in 0..ATTEMPTS {
            // Read before the store is asked, so that the count has to go beyond it.
            let known = tags.count();
            let sum = backend.incr_value(own_keys::PURGE_COUNT, 1, Ttl::Never);
            let mut is_lost = false;
            match sum.await {
                Ok(sum) => {
                    // Where there was no count, the sum is none, as no series begins with 1.
                    let counted = Value::integer(sum);
                    if let Ok(Some(count)) = self.read_count(Some(&counted), known) {
                        if known.is_none_or(|known| count > known) {
                            return Ok(count);
                        }
                        is_lost = true;
                    }
                }
                Err(error) if error.is_wrong_type() || error.is_overflow() => (),
                Err(error) => return Err(error),
            }
            self.begin_count(is_lost).await?;
        }
        Err(Error::contention(format!(
            "the count of purges was lost during each of {ATTEMPTS} attempts"
        )))
    }
}
