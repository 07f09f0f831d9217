//! Purging: what a [`CacheResponse`] can be told to remove.

use super::layer::CacheResponse;
use super::storage::handle::Storage;
use super::storage::purge_list::PurgeTarget;
use crate::error::Error;

/// Purging.
impl CacheResponse {
    /// Removes what is stored under a key, all its variants included, and says whether there was something.
    ///
    /// What was asked for before the purge is no longer stored, in any process that shares the backend, even if it is still on its
    /// way. The writer of a response that is being stored at this moment finds out afterwards, and removes it: until then it may be
    /// served. If the writer is cut off in between, it may be served until it expires. That happens if the writer's process ends, or
    /// if its client goes away while [`max_detached`](Self::max_detached) is reached.
    ///
    /// Keys that no request has, such as the cache's own, are left alone.
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

    /// Makes all responses count as missing whose key begins with this and that were asked for before the purge, in all processes
    /// that share the backend.
    ///
    /// For now and then: the last 512 purges by prefix are remembered one by one, and older ones are folded into one of everything. Tags
    /// are for what is purged often.
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
    /// `Cache-Tag`. It takes the same few calls of the backend however much has the tag, and there may be any number of such purges.
    ///
    /// Values that have the tag are not removed, as their tags are others:
    /// [`remove_by_tag`](crate::CacheBackendExt::remove_by_tag) is for them.
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
        self.storage().purge_tag(tag).await
    }

    fn storage(&self) -> Storage {
        self.shared.storage(&self.settings)
    }
}
