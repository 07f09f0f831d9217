//! What all services of a layer share.

use crate::backend::CacheBackend;
use crate::cache::Cache;
use crate::error::Error;
use crate::response::fetch::buffers::Buffers;
use crate::response::fetch::flight::Flights;
use crate::response::fetch::permits::Permits;
use crate::response::settings::Settings;
use crate::response::stats::Counters;
use crate::response::storage::known_purges::Known;
use crate::response::storage::purge_list::Purges;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// For so long a key that proved uncacheable is remembered.
const UNCACHEABLE_FOR: Duration = Duration::from_secs(10);
/// So many are.
const UNCACHEABLE_KEYS: usize = 4096;

/// Settings, and what goes on.
#[derive(Debug, Clone)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) flights: Arc<Flights>,
    pub(crate) permits: Arc<Permits>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) stats: Counters,
    /// Keys whose requests need not wait for each other.
    uncacheable: Cache<Box<str>, u64>,
    pub(crate) known: Known,
    /// Where none was given: found when it is first needed.
    backend: OnceLock<Arc<dyn CacheBackend>>,
}

impl Core {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            shared: Arc::new(Shared {
                flights: Arc::default(),
                permits: Arc::default(),
                buffers: Arc::default(),
                stats: Counters::default(),
                uncacheable: Cache::new(UNCACHEABLE_KEYS),
                known: Known::default(),
                backend: OnceLock::new(),
            }),
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        self.settings.clock.now()
    }

    /// Cheaper than [`now`](Self::now), and never before it: up to a tenth of a second ahead.
    #[inline]
    pub(crate) fn soon(&self) -> u64 {
        self.settings.clock.soon()
    }

    #[inline]
    pub(crate) fn backend(&self) -> Result<&Arc<dyn CacheBackend>, Error> {
        if let Some(backend) = &self.settings.backend {
            return Ok(backend);
        }
        match self.shared.backend.get() {
            Some(backend) => Ok(backend),
            None => self.backend_slow(),
        }
    }

    #[cold]
    fn backend_slow(&self) -> Result<&Arc<dyn CacheBackend>, Error> {
        let backend = crate::response::storage::default_backend::find()?;
        Ok(self.shared.backend.get_or_init(|| backend))
    }

    pub(crate) fn backend_failed(&self, error: &Error) {
        self.shared.stats.backend_errors.add();
        crate::response::event::backend_failed(error);
    }

    /// A purge of all that any request of this layer can have been asked for. It is known of when it is in the store.
    pub(crate) fn purge_of_everything(&self) -> Purges {
        let last = self.shared.known.last();
        Purges::of_everything(self.now().max(last.saturating_add(1)))
    }

    pub(crate) fn is_uncacheable(&self, key: &str) -> bool {
        let until = self.shared.uncacheable.get(key);
        until.is_some_and(|until| self.now() < until)
    }

    pub(crate) fn set_uncacheable(&self, key: &str) {
        let until = self
            .now()
            .saturating_add(UNCACHEABLE_FOR.as_millis() as u64);
        self.shared.uncacheable.insert(key.into(), until);
    }

    pub(crate) fn set_cacheable(&self, key: &str) {
        if !self.shared.uncacheable.is_empty() {
            self.shared.uncacheable.remove(key);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
