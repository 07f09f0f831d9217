//! [`UpdateTtl`]: what an update does to the time to live.

use crate::time::Ttl;
use std::time::Duration;

/// What an update does to the time to live of its entry. Rarely written out: a [`Duration`], a [`Ttl`] and `None` convert.
///
/// ```
/// use nori_cache::{CacheBackendExt, MemoryCacheBackend, Ttl};
/// use std::{future::ready, time::Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), nori_cache::Error> {
/// let backend = MemoryCacheBackend::new(10);
/// let add = |n: Option<u32>| ready(n.unwrap_or(0) + 1);
/// backend.atomic_update("n", Ttl::Never, add).await?;
/// assert_eq!(backend.ttl("n").await?, Some(Ttl::Never));
/// backend.atomic_update("n", Duration::from_secs(60), add).await?;
/// backend.atomic_update("n", None, add).await?; // what is left of the minute
/// assert_ne!(backend.ttl("n").await?, Some(Ttl::Never));
/// assert_eq!(backend.get("n").await?, Some(3));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpdateTtl {
    /// The entry keeps what it has left to live; a new one gets the backend's
    /// [`default_ttl`](crate::CacheBackend::default_ttl). What `None` converts to.
    Keep,
    /// The entry's time to live starts anew with this one. Zero removes the entry.
    Set(Ttl),
}

impl UpdateTtl {
    /// The time to live to set, if one is set.
    pub(crate) fn to_set(self) -> Option<Ttl> {
        match self {
            Self::Keep => None,
            Self::Set(ttl) => Some(ttl),
        }
    }
}

impl From<Ttl> for UpdateTtl {
    fn from(ttl: Ttl) -> Self {
        Self::Set(ttl)
    }
}

impl From<Duration> for UpdateTtl {
    fn from(after: Duration) -> Self {
        Self::Set(after.into())
    }
}

// Not for `Option<Duration>` as well: then a bare `None` would be ambiguous.
impl From<Option<Ttl>> for UpdateTtl {
    fn from(ttl: Option<Ttl>) -> Self {
        ttl.map_or(Self::Keep, Self::Set)
    }
}
