//! Running loaders: each is counted, with what becomes of it, and has a span.

use super::{Flights, Work};
use crate::backend::event::LoadSpan;
use std::any::type_name;
use std::future::Future;

impl Flights {
    /// Runs a loader [inside](Flights::inside) a load of a key, counts it, and has a span around it.
    pub(crate) async fn load<T, E, F>(&self, key: &str, loader: F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let span = LoadSpan::new(self.traced(key));
        let load = self.counted(self.inside(Work::Load, key, loader));
        let loaded = span.around(load).await;
        if loaded.is_err() {
            span.failed(type_name::<E>());
        }
        loaded
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
