//! With the feature `global`: the backend of the process.

use crate::backend::CacheBackend;
use crate::error::Error;
use std::sync::Arc;

pub(crate) fn find() -> Result<Arc<dyn CacheBackend>, Error> {
    crate::global::get_backend()
}
