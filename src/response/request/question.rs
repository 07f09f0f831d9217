//! [`Question`]: what a request asks for.

use super::conditions::Conditions;
use super::directives::RequestDirectives;
use super::key::Key;
use crate::response::http::vary::normalized;
use http::HeaderMap;
use http::header::HeaderName;

/// A request that the cache can answer, without what only the handler looks at.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) key: Key,
    /// As the client sent them.
    pub(crate) headers: HeaderMap,
    pub(crate) conditions: Conditions,
    pub(crate) directives: RequestDirectives,
}

impl Question {
    /// What the request says in a field, in the form that is compared; `None` if it lacks the field.
    pub(crate) fn says(&self, name: &HeaderName) -> Option<Box<str>> {
        normalized(&self.headers, name, self.key.sorts_languages)
    }
}
