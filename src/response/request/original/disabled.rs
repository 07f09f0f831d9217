//! Without the feature `axum` the whole URI cannot be asked for, but a request that comes from axum can be recognised.

use super::axum_bodies::is_of_axum;
use http::{Extensions, Uri};
use std::any::type_name;

pub(crate) fn uri(_: &Extensions) -> Option<&Uri> {
    None
}

/// Whether a request's URI is whole. In axum a router may have shortened it.
pub(crate) fn is_whole<B: 'static>() -> bool {
    !is_of_axum(type_name::<B>())
}
