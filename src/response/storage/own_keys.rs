//! The keys of what the layer keeps beside entries: no request can name them, whatever is in its path, its query, its headers,
//! or in what a key function makes of it.
//!
//! | key | under it lies |
//! |---|---|
//! | `#variants:K` | the signpost to the variants of the key `K` |
//! | `#variant:N:K` | one of them; `N` is a hash of what tells it apart |
//! | `nori-cache:purges` | the list of purges |
//! | `nori-cache:purges:N` | the stamp of the last purge by key, of a bucket of keys |
//!
//! A request's key begins with the layer's prefix, and one that begins with `#` is written with another one before it: so each
//! begins with two of them or with none, and the first two kinds begin with one. And each has a slash in it, as paths begin
//! with one; the last two kinds have none.

use crate::response::http::cache_status::Line;

pub(crate) const SIGNPOST: &str = "#variants:";
pub(crate) const PURGES: &str = "nori-cache:purges";

/// What the prefix of a layer is preceded by in its keys.
pub(crate) fn before(prefix: &str) -> &'static str {
    if prefix.starts_with('#') { "#" } else { "" }
}

/// Whether a key may be a request's.
pub(crate) fn may_be_asked_for(key: &str) -> bool {
    (!key.starts_with('#') || key.starts_with("##")) && key.contains('/')
}

pub(crate) fn signpost(key: &str) -> String {
    [SIGNPOST, key].concat()
}

pub(crate) fn variant(key: &str, number: u64) -> String {
    format!("#variant:{number:016x}:{key}")
}

/// Where the stamp for a bucket of keys is.
pub(crate) fn stamp(bucket: u64) -> Line {
    let mut place = Line::new();
    place.add(PURGES);
    place.add(":");
    place.add_number(bucket);
    place
}
