//! [`Storage`]: a layer's handle on its backend.

use super::default_backend;
use super::known_purges::KnownPurges;
use super::known_tag_purges::KnownTagPurges;
use super::purge_bucket;
use super::purge_marks::PurgeMarks;
use crate::backend::{CacheBackend, Value, for_responses};
use crate::error::Error;
use crate::response::clock::{UnixMillis, WallClock};
use crate::response::entry::purge_number::PurgeNumber;
use crate::response::entry::stored_response::StoredResponse;
use crate::response::entry::tag_purges::TagPurges;
use crate::sync::OnceLock;
use std::fmt;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) struct Storage {
    /// As it was given; where none was, the one that `shared` has found.
    backend: Option<Arc<dyn CacheBackend>>,
    pub(super) clock: WallClock,
    /// The largest body that is stored, in bytes.
    max_body: u64,
    pub(super) shared: Arc<SharedStorage>,
}

/// What all storages of a layer and its clones have in common.
#[derive(Default)]
pub(crate) struct SharedStorage {
    pub(super) known: KnownPurges,
    pub(super) tags: KnownTagPurges,
    /// The backend of a layer that was given none: found when it is first needed.
    found: OnceLock<Arc<dyn CacheBackend>>,
}

/// What was purged when a request came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ObservedPurges {
    /// The last purge in the list.
    pub(crate) last: PurgeNumber,
    /// What purges by tag have left.
    pub(crate) tags: TagPurges,
    /// What purges of the key have left.
    pub(crate) marks: PurgeMarks,
}

impl Storage {
    pub(crate) fn new(
        backend: Option<Arc<dyn CacheBackend>>,
        clock: WallClock,
        max_body: u64,
        shared: Arc<SharedStorage>,
    ) -> Self {
        Self {
            backend: backend.map(for_responses),
            clock,
            max_body,
            shared,
        }
    }

    #[inline]
    pub(super) fn backend(&self) -> Result<&Arc<dyn CacheBackend>, Error> {
        if let Some(backend) = &self.backend {
            return Ok(backend);
        }
        match self.shared.found.get() {
            Some(backend) => Ok(backend),
            None => self.backend_slow(),
        }
    }

    #[cold]
    fn backend_slow(&self) -> Result<&Arc<dyn CacheBackend>, Error> {
        let backend = for_responses(default_backend::find()?);
        Ok(self.shared.found.get_or_init(|| backend))
    }

    #[inline]
    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// What this layer knows of purges without the store.
    pub(crate) fn known_purges(&self, key: &str) -> ObservedPurges {
        self.known_purges_in(purge_bucket::of(key))
    }

    /// As [`known_purges`](Self::known_purges), of the keys in a bucket.
    pub(super) fn known_purges_in(&self, bucket: usize) -> ObservedPurges {
        let known = &self.shared.known;
        ObservedPurges {
            last: known.last(),
            tags: TagPurges {
                stored: self.shared.tags.count(),
                made: self.shared.tags.made(),
            },
            marks: PurgeMarks {
                stored: 0,
                counted: known.count(bucket),
            },
        }
    }

    /// A stored response, if it is one that this layer may have stored by now.
    pub(super) fn read(&self, value: Option<Value>) -> Option<Arc<StoredResponse>> {
        let stored: Arc<StoredResponse> = value?.to_shared().ok()?;
        let is_possible = stored.lifetime.born.is_possible(self.now());
        let is_too_large = stored.body.len() as u64 > self.max_body;
        (is_possible && !is_too_large).then_some(stored)
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("clock", &self.clock)
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}
