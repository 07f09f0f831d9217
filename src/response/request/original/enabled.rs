//! With the feature `axum`: axum itself keeps the URI that its nested routers shorten.

use super::axum_bodies::is_of_axum;
use axum::body::Body;
use axum::extract::OriginalUri;
use http::{Extensions, Uri};
use std::any::{TypeId, type_name};

/// The URI before any router has shortened it.
pub(crate) fn uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<OriginalUri>().map(|original| &original.0)
}

/// Whether the URI of a request without an original one is whole. That is so outside this version of axum's routers, which all
/// keep it. The routers of other versions keep it where it cannot be found.
pub(crate) fn is_whole<B: 'static>() -> bool {
    TypeId::of::<B>() == TypeId::of::<Body>() || !is_of_axum(type_name::<B>())
}
