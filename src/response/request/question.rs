//! [`Question`]: what a request asks for.

use super::conditions::Conditions;
use super::directives::RequestDirectives;
use super::key::Key;
use crate::response::http::vary::normalized;
use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, Request};
use std::mem::replace;

/// A request that the cache can answer.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) key: Key,
    /// Whether it carries `Authorization`, and the key does not tell callers apart.
    pub(crate) is_authorized: bool,
    /// As the client sent it; without its target and extensions once the handler has them.
    pub(crate) head: Parts,
    pub(crate) conditions: Conditions,
    pub(crate) directives: RequestDirectives,
}

impl Question {
    /// What the request says in a field, in the form that is compared; `None` if it lacks the field.
    pub(crate) fn says(&self, name: &HeaderName) -> Option<Box<str>> {
        normalized(self.headers(), name, self.key.sorts_languages)
    }

    #[inline]
    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Gives the request's head away, to the handler. What remains here are its headers.
    pub(crate) fn give_head(&mut self) -> Parts {
        let (mut rest, ()) = Request::new(()).into_parts();
        rest.headers = self.head.headers.clone();
        replace(&mut self.head, rest)
    }
}
