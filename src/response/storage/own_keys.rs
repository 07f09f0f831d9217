//! The keys of what the storage keeps beside responses. No request can name them, whatever is in its path, its query, its headers,
//! or in what a key function makes of it.
//!
//! | key | under it lies |
//! |---|---|
//! | `#variants:K` | the signpost to the variants of the key `K` |
//! | `#variant:N:K` | one of them; `N` is a hash of what tells it apart |
//! | `#tag:T` | the version of the tag `T` (see [`StoredTag`](crate::response::entry::stored_tag::StoredTag)) |
//! | `nori-cache:purges` | the list of purges by prefix |
//! | `nori-cache:purges:tags` | the count of purges by tag |
//! | `nori-cache:purges:N` | the mark of the last purge by key, of a bucket of keys |
//!
//! The first three kinds begin with one `#`, and a request's key begins with two of them or with none. The last three kinds have no
//! slash, and a request's key has one (see [`Key`](crate::response::request::key)).

use crate::response::http::text::ShortText;

pub(crate) const PURGE_LIST: &str = "nori-cache:purges";
pub(crate) const PURGE_COUNT: &str = "nori-cache:purges:tags";

pub(crate) fn variant(key: &str, number: u64) -> String {
    format!("#variant:{number:016x}:{key}")
}

/// Where the mark for a bucket of keys is.
pub(crate) fn purge_mark(bucket: usize) -> ShortText {
    let mut key = ShortText::new();
    key.push(PURGE_LIST);
    key.push(":");
    key.push_number(bucket as u64);
    key
}
