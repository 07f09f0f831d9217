//! Without the feature `axum` the whole path cannot be asked for, but a request that comes from axum can be recognised.

use http::{Extensions, Uri};
use std::any::type_name;

pub(super) fn uri(_: &Extensions) -> Option<&Uri> {
    None
}

/// Whether a request can be taken at its word: not in axum, where a router may have shortened its path.
pub(super) fn is_whole<B: 'static>() -> bool {
    !super::key::is_of_axum(type_name::<B>())
}
