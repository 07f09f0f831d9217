//! Without the feature `axum` the whole path cannot be asked for, but a request that comes from axum can be recognised.

use http::{Extensions, Uri};
use std::any::type_name;

pub(crate) fn uri(_: &Extensions) -> Option<&Uri> {
    None
}

/// Whether a request can be taken at its word: not in axum, where a router may have shortened its path.
pub(crate) fn is_whole<B: 'static>() -> bool {
    !crate::response::request::key::is_of_axum(type_name::<B>())
}
