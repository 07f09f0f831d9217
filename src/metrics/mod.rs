//! What caches count, for the [`metrics`](https://docs.rs/metrics) facade, and through it for Prometheus, OpenTelemetry, StatsD
//! and others. Feature `metrics`.
//!
//! Caches count anyhow, and nothing is told while they work: a [`Publisher`] asks them for their numbers when it is told to, on a
//! schedule or when somebody scrapes. So a hit costs what it does without.
//!
//! [`METRICS`] lists the names, units and labels; [`docs::watching`](crate::docs::watching) has them as a table, with a dashboard.
//! The label `cache` is the name that the publisher was given for it. No key is ever in a label.
//!
//! | file | what is in it |
//! |---|---|
//! | `names` | [`METRICS`]: each [`Metric`] |
//! | `sink` | recording: labels, and histograms from counted classes |
//! | `cache`, `backend`, `responses` | which number of which statistics is which metric |

#[cfg(feature = "backend")]
mod backend;
mod cache;
mod names;
#[cfg(feature = "tower")]
mod responses;
mod sink;

pub use names::{Kind, METRICS, Metric};
pub use sink::BUCKETS;

use crate::cache::Cache;
use crate::sync::Mutex;
use ::metrics::{Recorder, SharedString, with_recorder};
use sink::Sink;
use std::fmt;

/// Tells a recorder of the `metrics` facade what caches have counted: each time it is asked to, what has come since the last time.
///
/// Whose recorder that is, the facade says: the process's, or a local one. Share a publisher in an `Arc`.
///
/// ```
/// use nori_cache::{Cache, MemoryCacheBackend, metrics::Publisher};
/// use std::sync::Arc;
///
/// let users: Cache<u64, String> = Cache::new(1_000);
/// let sessions = Arc::new(MemoryCacheBackend::new(10_000));
/// let publisher = Publisher::new()
///     .cache("users", &users)
///     .backend("sessions", sessions.clone());
/// // Each time that somebody scrapes, or every ten seconds:
/// publisher.publish();
/// ```
#[must_use = "a publisher does nothing until it publishes"]
pub struct Publisher {
    /// `None` while they are published: what they call is not ours, and must find no lock taken.
    sources: Mutex<Option<Vec<Source>>>,
}

/// Publishes what has come since the last time.
type Source = Box<dyn FnMut(&dyn Recorder) + Send>;

impl Publisher {
    /// One for nothing yet.
    pub fn new() -> Self {
        Self {
            sources: Mutex::new(Some(Vec::new())),
        }
    }

    /// Publishes what a typed cache counts, with this name in the label `cache`.
    pub fn cache<K, V, S>(self, name: impl Into<SharedString>, cache: &Cache<K, V, S>) -> Self
    where
        Cache<K, V, S>: Send + 'static,
    {
        let (cache, name) = (cache.clone(), name.into());
        let mut previous = None;
        self.source(move |recorder| {
            let sink = Sink::new(recorder, &name);
            let now = cache.stats();
            cache::publish(
                &sink,
                &now.since(&previous.unwrap_or_default()),
                cache.len(),
            );
            previous = Some(now);
        })
    }

    /// Publishes what a backend counts, with this name in the label `cache`.
    #[cfg(feature = "backend")]
    #[cfg_attr(docsrs, doc(cfg(feature = "backend")))]
    pub fn backend(
        self,
        name: impl Into<SharedString>,
        backend: std::sync::Arc<dyn crate::backend::CacheBackend>,
    ) -> Self {
        let name = name.into();
        let mut previous = crate::backend::BackendStats::default();
        self.source(move |recorder| {
            let sink = Sink::new(recorder, &name);
            let now = backend.stats();
            backend::publish(&sink, &now.since(&previous), &previous.links);
            previous = now;
        })
    }

    /// Publishes what a response layer counts, with this name in the label `cache`.
    #[cfg(feature = "tower")]
    #[cfg_attr(docsrs, doc(cfg(any(feature = "response", feature = "tower"))))]
    pub fn responses(
        self,
        name: impl Into<SharedString>,
        layer: &crate::response::CacheResponse,
    ) -> Self {
        let (layer, name) = (layer.clone(), name.into());
        let mut previous = None;
        self.source(move |recorder| {
            let sink = Sink::new(recorder, &name);
            let now = layer.stats();
            responses::publish(&sink, &now.since(&previous.unwrap_or_default()));
            previous = Some(now);
        })
    }

    fn source(self, source: impl FnMut(&dyn Recorder) + Send + 'static) -> Self {
        if let Some(sources) = &mut *self.sources.lock() {
            sources.push(Box::new(source));
        }
        self
    }

    /// Tells the recorder what has come since the last time, and how things stand now. Returns false, and tells nothing, while another
    /// thread does it.
    pub fn publish(&self) -> bool {
        let Some(sources) = self.sources.lock().take() else {
            return false;
        };
        let mut taken = Taken {
            publisher: self,
            sources,
        };
        with_recorder(|recorder| {
            for source in &mut taken.sources {
                source(recorder);
            }
        });
        true
    }
}

/// Sources that are being published. They are given back however that ends.
struct Taken<'p> {
    publisher: &'p Publisher,
    sources: Vec<Source>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let sources = std::mem::take(&mut self.sources);
        *self.publisher.sources.lock() = Some(sources);
    }
}

/// Tells the recorder what each of [`METRICS`] is, and its unit. Once, after the recorder was installed.
pub fn describe() {
    with_recorder(|recorder| METRICS.iter().for_each(|metric| metric.describe(recorder)));
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.sources.lock().as_ref().map(Vec::len);
        f.debug_struct("Publisher")
            .field("sources", &sources)
            .finish_non_exhaustive()
    }
}
