//! Running loaders: each is counted, with what becomes of it, and has a span.

use super::{Flights, Work};
use crate::backend::event::LoadSpan;
use crate::backend::stats::Operation;
use crate::sync::Ordering;
use std::any::type_name;
use std::future::Future;
use std::pin::pin;

impl Flights {
    /// Runs a loader [inside](Flights::inside) a load of a key, counts it, and has a span around it, which tells whether it is a refresh
    /// in the background, and `error_type` for the type of its errors.
    pub(crate) async fn load<T, E, F>(
        &self,
        key: &str,
        is_refresh: bool,
        error_type: Option<&'static str>,
        loader: F,
    ) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let span = LoadSpan::new(self.traced(key), is_refresh);
        // Pinned one in the other, and not moved into one another: each would hold the next twice.
        let inside = pin!(self.inside(Work::Load, key, loader));
        let counted = pin!(self.counted(inside));
        let loaded = span.around(counted).await;
        if loaded.is_err() {
            span.failed(error_type.unwrap_or(type_name::<E>()));
        }
        loaded
    }

    /// A leader has looked again, by this operation, and so many keys are still not there.
    pub(crate) fn miss_again(&self, operation: Operation, keys: u64) {
        // Relaxed: a number to look at; nothing is ordered by it.
        self.missed_again[which(operation)].fetch_add(keys, Ordering::Relaxed);
    }

    /// How many keys that was about.
    pub(crate) fn second_misses(&self, operation: Operation) -> u64 {
        // Relaxed: as in `miss_again`.
        self.missed_again[which(operation)].load(Ordering::Relaxed)
    }

    /// Counts a loader, of however many keys. Whoever runs one does it by this, with nothing else in the future than the loader:
    /// what is counted is how long that took, and whether it failed.
    pub(crate) async fn counted<T, E, F>(&self, loader: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut timer = self.counted.begin();
        let loaded = timer.run_async(loader).await;
        if loaded.is_ok() {
            timer.succeeded();
        } else {
            timer.failed();
        }
        loaded
    }
}

/// Whether leaders looked for one key or for many.
fn which(operation: Operation) -> usize {
    usize::from(operation == Operation::GetMany)
}
