//! [`CacheTags`]: names by which responses can be purged.

use super::refusal::Refusal;
use http::header::HeaderName;
use http::response::Parts;

const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");

/// Tags that a handler gives its response, as an extension: [`CacheResponse::purge_tag`](crate::response::CacheResponse::purge_tag)
/// removes all responses that have one. The header `Cache-Tag`, a list separated by commas, does the same.
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

/// All tags of a response.
///
/// # Errors
/// If one of them is no text: a purge of that tag would miss the response.
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
    Ok(tags)
}
