//! The whole path under axum's nested routers: axum itself keeps it.

use axum::body::Body;
use axum::extract::OriginalUri;
use http::{Extensions, Uri};
use std::any::{TypeId, type_name};

/// The URI before any router has shortened it.
pub(crate) fn uri(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<OriginalUri>().map(|original| &original.0)
}

/// Whether a request without an original URI can be taken at its word: it is in none of this axum's routers, which all keep it;
/// but those of another version keep it where it cannot be found.
pub(crate) fn is_whole<B: 'static>() -> bool {
    TypeId::of::<B>() == TypeId::of::<Body>()
        || !crate::response::request::key::is_of_axum(type_name::<B>())
}
