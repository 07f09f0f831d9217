//! Purging: what a [`CacheResponse`] can be told to remove.

use super::layer::CacheResponse;
use super::storage::handle::Storage;
use super::storage::purge_list::PurgeTarget;
use crate::error::Error;

/// Purging.
impl CacheResponse {
    /// Removes what is stored under a key, all its variants included, and says whether there was something.
    ///
    /// What was asked for before is not stored any more, in no process that shares the backend, even if it is still on its way.
    /// Of a response that is just being stored, its writer finds out afterwards, and removes it: for so long it may be served,
    /// and if the writer is cut off in between, until it expires: because its process ends, or because its client goes away
    /// while [`max_detached`](Self::max_detached) is reached.
    ///
    /// Keys that no request has, such as those of the cache's own, are left alone.
    ///
    /// # Errors
    /// Those of the backend.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let layer = CacheResponse::ttl(Duration::from_secs(60));
    /// assert!(!layer.purge_key("view:/products:page=2").await?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn purge_key(&self, key: &str) -> Result<bool, Error> {
        self.storage().remove(key).await
    }

    /// Makes everything count as missing whose key begins so, and that was asked for before: in all processes that share the
    /// backend.
    ///
    /// # Errors
    /// Those of the backend.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let layer = CacheResponse::ttl(Duration::from_secs(60));
    /// layer.purge_prefix("view:/products").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn purge_prefix(&self, prefix: &str) -> Result<(), Error> {
        let target = PurgeTarget::Prefix(prefix.into());
        self.storage().purge(target).await
    }

    /// As [`purge_prefix`](Self::purge_prefix), for everything that has a tag: [`CacheTags`](super::CacheTags), or the header
    /// `Cache-Tag`.
    ///
    /// # Errors
    /// Those of the backend.
    ///
    /// ```
    /// use nori_cache::response::CacheResponse;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), nori_cache::Error> {
    /// let layer = CacheResponse::ttl(Duration::from_secs(60));
    /// layer.purge_tag("product-42").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn purge_tag(&self, tag: &str) -> Result<(), Error> {
        let target = PurgeTarget::Tag(tag.into());
        self.storage().purge(target).await
    }

    fn storage(&self) -> Storage {
        self.shared.storage(&self.settings)
    }
}
