//! [`State`]: what all requests of a service share.

use super::detached::{Attached, Permit, Work};
use super::flight::Flights;
use super::permits::Permits;
use super::uncacheable::UncacheableKeys;
use crate::error::Error;
use crate::response::answer::buffers::Buffers;
use crate::response::clock::UnixMillis;
use crate::response::event;
use crate::response::outcome::Outcome;
use crate::response::policy::refusal::Refusal;
use crate::response::settings::Settings;
use crate::response::stats::{Counters, Gauges, ResponseStats};
use crate::response::storage::handle::{SharedStorage, Storage};
use crate::sync::{AtomicBool, Ordering};
use std::fmt;
use std::future::Future;
use std::sync::Arc;

/// What a layer was told, and what it shares with its clones.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) settings: Settings,
    pub(crate) storage: Storage,
    pub(crate) shared: Arc<Shared>,
}

/// What goes on in all services that a layer and its clones have made.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) flights: Arc<Flights>,
    pub(crate) permits: Arc<Permits>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) counters: Counters,
    pub(crate) uncacheable: UncacheableKeys,
    pub(crate) storage: Arc<SharedStorage>,
    /// Whether it was told that requests come whose whole path is not known.
    told_of_paths: AtomicBool,
}

impl Shared {
    /// Nothing is cached for a request, because its whole path is not known. That is so for all requests by the same way, so it is
    /// told once.
    #[cold]
    pub(crate) fn path_unknown(&self) {
        // Relaxed: which request is the first makes no difference.
        if !self.told_of_paths.swap(true, Ordering::Relaxed) {
            event::path_unknown();
        }
    }

    pub(crate) fn storage(&self, settings: &Settings) -> Storage {
        Storage::new(
            settings.backend.clone(),
            settings.clock.clone(),
            settings.policy.max_body,
            Arc::clone(&self.storage),
        )
    }

    pub(crate) fn stats(&self) -> ResponseStats {
        self.counters.read(Gauges {
            running: self.flights.count() as u64,
            detached: self.permits.count() as u64,
            buffered: self.buffers.held(),
        })
    }
}

impl State {
    pub(crate) fn new(settings: Settings, shared: Arc<Shared>) -> Self {
        Self {
            storage: shared.storage(&settings),
            settings,
            shared,
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> UnixMillis {
        self.settings.clock.now()
    }

    /// A time that is not past yet, and cheaper to know than [`now`](Self::now).
    #[inline]
    pub(crate) fn soon(&self) -> UnixMillis {
        self.settings.clock.soon()
    }

    /// Whether a key proved uncacheable a moment ago.
    pub(crate) fn is_uncacheable(&self, key: &str) -> bool {
        let uncacheable = &self.shared.uncacheable;
        uncacheable.contains(key, &self.settings.clock)
    }

    pub(crate) fn set_uncacheable(&self, key: &str) {
        let uncacheable = &self.shared.uncacheable;
        uncacheable.insert(key, &self.settings.clock);
    }

    #[inline]
    pub(crate) fn count(&self, outcome: Outcome) {
        outcome.count(&self.shared.counters);
    }

    pub(crate) fn backend_failed(&self, error: &Error) {
        self.shared.counters.backend_errors.add();
        event::backend_failed(error);
    }

    /// Permission to go on without a client. `None` if too much does already, or there is no runtime to go on in.
    pub(crate) fn permit(&self) -> Option<Permit> {
        let Settings {
            max_detached,
            detached_timeout,
            ..
        } = self.settings;
        Permit::take(&self.shared.permits, max_detached, detached_timeout)
    }

    /// Does work that a client waits for. If the client goes away, the work goes on with a permit, and without a deadline: the calls of
    /// the backend have deadlines of their own, and must not be left half done.
    pub(crate) fn finish(self: Arc<Self>, work: Work<()>) -> impl Future<Output = ()> + Send {
        Attached::new(work, move |work| match self.permit() {
            Some(permit) => permit.finish(work),
            None => self.count(Outcome::NotStored(Refusal::DetachedLimit)),
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
