//! What a [`CacheResponse`] can be asked, and told, while it works.

use crate::backend::CacheBackendExt;
use crate::error::Error;
use crate::response::layer::CacheResponse;
use crate::response::request::key::Asked;
use crate::response::stats::{Gauges, ResponseStats};
use crate::response::storage::own_keys;
use crate::response::storage::purge_list::{Purges, What};
use crate::time::Ttl;
use http::Request;
use std::future::ready;

/// What is stored, and what was done.
impl CacheResponse {
    /// The key that a request's response is stored under, without the backend's prefix. `None` if it has none: then it is
    /// passed through.
    pub fn key_of<B>(&self, request: &Request<B>) -> Option<String> {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = request.uri().clone();
        parts.headers = request.headers().clone();
        parts.extensions = request.extensions().clone();
        let asked = Asked::new(&self.core.settings, &parts).ok()?;
        Some(asked.key().to_owned())
    }

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
        self.core.remove(key).await
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
        self.purge(What::Prefix(prefix.into())).await
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
        self.purge(What::Tag(tag.into())).await
    }

    async fn purge(&self, what: What) -> Result<(), Error> {
        let now = self.core.now();
        let backend = self.core.backend()?;
        let known = &self.core.shared.known;
        // Before the look into the store.
        let reaches = known.last();
        let update = |purges: Option<Purges>| {
            let purges = purges.unwrap_or_default();
            ready(if purges.is_ours(now) && purges.last() >= reaches {
                purges.with(what.clone(), now)
            } else {
                self.core.purge_of_everything()
            })
        };
        let updated = backend.atomic_update(own_keys::PURGES, Some(Ttl::Never), update);
        let last = match updated.await {
            // Nobody can say what was purged before.
            Err(error) if error.is_decoding() || error.is_wrong_type() => {
                let all = self.core.purge_of_everything();
                let last = all.last();
                backend.set(own_keys::PURGES, all, Ttl::Never).await?;
                last
            }
            updated => updated?.last(),
        };
        known.saw(last);
        Ok(())
    }

    /// What was done so far, by all services that this layer and its clones have made.
    pub fn stats(&self) -> ResponseStats {
        let shared = &self.core.shared;
        shared.stats.read(Gauges {
            running: shared.flights.count() as u64,
            detached: shared.permits.count() as u64,
            buffered: shared.buffers.held(),
        })
    }
}
