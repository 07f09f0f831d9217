//! Without the feature `global` the process has no backend, so a layer keeps its responses in memory.

use crate::backend::{CacheBackend, MemoryCacheBackend};
use crate::error::Error;
use std::sync::Arc;

pub(crate) fn find() -> Result<Arc<dyn CacheBackend>, Error> {
    Ok(Arc::new(MemoryCacheBackend::builder().build()?))
}
