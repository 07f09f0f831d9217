//! [`Conditions`]: which form of a response a request asks for.

use crate::response::http::range::{self, Unsatisfiable};
use crate::response::http::validators::{any_matches, if_range_holds, is_unmodified_since};
use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use std::ops::RangeInclusive;

/// What a request asks for beside the resource. It is taken out of a request whose answer is to be stored in full, and applied to
/// the answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conditions {
    pub(crate) is_head: bool,
    none_match: Option<Vec<HeaderValue>>,
    modified_since: Option<HeaderValue>,
    range: Option<HeaderValue>,
    if_range: Option<HeaderValue>,
}

impl Conditions {
    pub(crate) fn of(method: &Method, headers: &HeaderMap) -> Self {
        let mut conditions = Self {
            is_head: method == Method::HEAD,
            ..Self::default()
        };
        // One pass over all fields is cheaper than one lookup for each name.
        for (name, value) in headers {
            let field = match *name {
                IF_NONE_MATCH => {
                    let all = conditions.none_match.get_or_insert_default();
                    all.push(value.clone());
                    continue;
                }
                IF_MODIFIED_SINCE => &mut conditions.modified_since,
                RANGE if !conditions.is_head => &mut conditions.range,
                IF_RANGE => &mut conditions.if_range,
                _ => continue,
            };
            field.get_or_insert_with(|| value.clone());
        }
        conditions
    }

    pub(crate) fn has_range(&self) -> bool {
        self.range.is_some()
    }

    /// Makes a request ask for the whole, whatever the client has.
    pub(crate) fn strip(headers: &mut HeaderMap) {
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE, RANGE, IF_RANGE] {
            headers.remove(name);
        }
    }

    /// Whether the client has this response already: RFC 9110 §13.2.2.
    pub(crate) fn is_not_modified(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        if status != StatusCode::OK {
            return false;
        }
        if let Some(lines) = &self.none_match {
            let etag = headers.get(ETAG);
            return lines.iter().any(|line| any_matches(line.as_bytes(), etag));
        }
        let since = self.modified_since.as_ref();
        since.is_some_and(|since| is_unmodified_since(since, headers))
    }

    /// The part of a response that the client asks for. `None` if the whole is to be sent.
    pub(crate) fn part(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        length: usize,
    ) -> Option<Result<RangeInclusive<u64>, Unsatisfiable>> {
        let range = self.range.as_ref()?;
        let has_other_parts = self
            .if_range
            .as_ref()
            .is_none_or(|wanted| if_range_holds(wanted, headers));
        if status != StatusCode::OK || self.is_head || !has_other_parts {
            return None;
        }
        range::parse(range.to_str().ok()?, length as u64)
    }
}
