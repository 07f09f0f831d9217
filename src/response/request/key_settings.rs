//! What a layer is told about keys.

use super::query::Query;
use http::header::{AUTHORIZATION, HeaderName};
use http::request::Parts;
use http::{Extensions, Uri};
use std::sync::Arc;

/// A function of the user's that looks at a request.
pub(crate) type RequestFn<T> = Arc<dyn Fn(&Parts) -> T + Send + Sync>;

#[derive(Clone)]
pub(crate) struct KeySettings {
    pub(crate) prefix: Box<str>,
    pub(crate) key_fn: Option<RequestFn<String>>,
    /// Fields whose values are in the key.
    pub(crate) vary_on: Vec<HeaderName>,
    pub(crate) host_in_key: bool,
    pub(crate) sort_languages: bool,
    pub(crate) query: Query,
    /// Where the URI is as the client sent it, if the user says so.
    pub(crate) original_uri: Option<fn(&Extensions) -> Option<&Uri>>,
    /// Whether the key tells callers apart, so that requests with `Authorization` may share responses.
    pub(crate) authorized_by_key: bool,
}

impl KeySettings {
    /// Whether the key tells callers with `Authorization` apart.
    pub(crate) fn tells_callers_apart(&self) -> bool {
        // A key that has nothing of the caller in it tells no callers apart, whatever the user says.
        let may_tell = self.key_fn.is_some() || !self.vary_on.is_empty();
        (self.authorized_by_key && may_tell) || self.vary_on.contains(&AUTHORIZATION)
    }
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            prefix: "view".into(),
            key_fn: None,
            vary_on: Vec::new(),
            host_in_key: false,
            sort_languages: false,
            query: Query::default(),
            original_uri: None,
            authorized_by_key: false,
        }
    }
}
