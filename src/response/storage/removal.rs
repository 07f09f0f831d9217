//! Removing what is stored under a key.

use super::handle::Storage;
use super::hash::random;
use super::own_keys;
use super::purge_bucket;
use crate::backend::Value;
use crate::error::Error;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::request::key::{may_be_requested, signpost_of};
use crate::response::request::question::Question;
use crate::time::Ttl;
use std::sync::Arc;
use std::time::Duration;

/// How long the mark of a purge stays: longer than handlers run.
const MARK_TTL: Duration = Duration::from_secs(60 * 60);

impl Storage {
    /// Removes a response that was found for a question, unless another one has taken its place.
    ///
    /// # Errors
    /// Those of the backend.
    pub(crate) async fn forget(
        &self,
        question: &Question,
        gone: &StoredResponse,
    ) -> Result<(), Error> {
        let lookup = self.find(question).await?;
        let is_it = |stored: &Arc<StoredResponse>| {
            stored.lifetime.born == gone.lifetime.born && stored.body == gone.body
        };
        if lookup.stored.as_ref().is_some_and(is_it) {
            let variant_key = lookup.variant_key(question);
            let key = variant_key.as_deref().unwrap_or(question.key.as_str());
            self.backend()?.delete_value(key).await?;
        }
        Ok(())
    }

    /// Removes what is under a key, variants included, and keeps what is on its way from being stored. Says whether there was
    /// something.
    ///
    /// # Errors
    /// Those of the backend.
    pub(crate) async fn remove(&self, key: &str) -> Result<bool, Error> {
        if !may_be_requested(key) {
            return Ok(false);
        }
        let backend = self.backend()?;
        let bucket = purge_bucket::of(key);
        // 1. Count the purge, before the store is touched.
        self.shared.known.add(bucket);
        // 2. Leave the mark, by which writers see the purge.
        let mark = Value::integer(random(self.now()).cast_signed());
        let mark_key = own_keys::purge_mark(bucket);
        backend
            .set_value(mark_key.as_str(), mark, Ttl::After(MARK_TTL))
            .await?;
        // 3. Remove. Variants without their signpost do not count.
        let removed = backend.delete_values(&[key, &signpost_of(key)]).await?;
        Ok(removed > 0)
    }
}
