//! [`CacheTags`]: names by which responses can be purged.

use super::refusal::Refusal;
use http::header::HeaderName;
use http::response::Parts;

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// The most tags of a response: each is looked at when the response is served.
pub(crate) const MAX_TAGS: usize = 256;
/// The most bytes of a tag, which is part of a key of the store.
pub(crate) const LONGEST_TAG: usize = 1024;

/// Tags that a handler gives its response, as an extension: [`CacheResponse::purge_tag`](crate::response::CacheResponse::purge_tag)
/// removes all responses that have one. The header `Cache-Tag`, a list separated by commas, does the same.
///
/// A response may have 256 different tags, of 1,024 bytes each. One that has more, or a longer one, is not stored. These are not the
/// tags of values: [`remove_by_tag`](crate::CacheBackendExt::remove_by_tag) removes no responses.
///
/// ```
/// use nori_cache::response::CacheTags;
/// use http::Response;
///
/// let mut response = Response::new("a product");
/// response.extensions_mut().insert(CacheTags::new(["product-42", "products"]));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CacheTags(Vec<Box<str>>);

impl CacheTags {
    /// Tags.
    pub fn new<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        let tags = tags.into_iter().map(|tag| tag.into().into_boxed_str());
        Self(tags.collect())
    }
}

/// All tags of a response, in alphabetical order.
///
/// # Errors
/// If one of them is no text: a purge of that tag would miss the response. If there are too many, or one is too long.
pub(crate) fn of(response: &Parts) -> Result<Vec<Box<str>>, Refusal> {
    let mut tags = match response.extensions.get::<CacheTags>() {
        Some(CacheTags(tags)) => tags.clone(),
        None => Vec::new(),
    };
    for line in response.headers.get_all(CACHE_TAG) {
        for tag in line.as_bytes().split(|&byte| byte == b',') {
            let tag = str::from_utf8(tag.trim_ascii()).map_err(|_| Refusal::Malformed)?;
            if !tag.is_empty() {
                tags.push(tag.into());
            }
        }
    }
    tags.sort_unstable();
    tags.dedup();
    if !are_few(tags.iter().map(|tag| &**tag)) {
        return Err(Refusal::Tags);
    }
    Ok(tags)
}

/// Whether a response may have so many different tags, and such long ones.
pub(crate) fn are_few<'t>(mut tags: impl ExactSizeIterator<Item = &'t str>) -> bool {
    tags.len() <= MAX_TAGS && tags.all(|tag| tag.len() <= LONGEST_TAG)
}
