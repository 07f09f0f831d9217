//! Which requests may share an entry.
//!
//! The key is the wire format's: `{prefix}:{path}:{query}`, with more parts on request. It is not unique: a colon may stand in
//! each part, and the host is not in it. So the key only says where to look; every entry records what it was made for, as
//! [`Asked`] names it, and answers nothing else.

use super::settings::Settings;
use http::header::{AUTHORIZATION, HOST, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Uri};
use std::borrow::Cow;
use std::ops::Range;

/// Longer keys are not stored.
pub(crate) const MAX_KEY: usize = 4 * 1024;

/// What a request asks for, as far as entries tell requests apart. One text holds the key and, behind it, the host.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    text: String,
    key_len: usize,
    path: Range<usize>,
    query: Range<usize>,
    own: Option<Range<usize>>,
    /// Whether the request carries `Authorization`, and the settings do not say that the key tells callers apart.
    pub(crate) authorized: bool,
    /// Whether the values of `vary_on` can be told apart in the key.
    clear_values: bool,
    /// Whether the order of languages makes no difference.
    pub(crate) sorts_languages: bool,
}

/// Why a request has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unkeyed {
    /// More than one host, or one that is not text.
    Host,
    /// The key would be too long.
    TooLong,
}

impl Asked {
    pub(crate) fn new(settings: &Settings, request: &Parts) -> Result<Self, Unkeyed> {
        let uri = match settings.original_uri {
            Some(original) => original(&request.extensions).unwrap_or(&request.uri),
            None => &request.uri,
        };
        let host = host(uri, &request.uri, &request.headers)?;
        let path = uri.path();
        let query = settings.query.apply(uri.query().unwrap_or(""));
        let own = settings.key_fn.as_ref().map(|key_fn| key_fn(request));
        let mut length = path.len() + query.len() + 2 * host.len();
        length += own.as_ref().map_or(0, String::len);
        if length > MAX_KEY {
            return Err(Unkeyed::TooLong);
        }
        let mut text = String::with_capacity(length + settings.key_prefix.len() + 4);
        text.push_str(&settings.key_prefix);
        if settings.host_in_key {
            add(&mut text, &host);
        }
        let own = own.map(|own| add(&mut text, &own));
        let path = add(&mut text, path);
        let query = add(&mut text, &query);
        let mut clear_values = true;
        for (at, name) in settings.vary_on.iter().enumerate() {
            let value = first_value(&request.headers, name);
            let start = if at == 0 { ":vary=" } else { "," };
            text.extend([start, name.as_str(), "=", &*value]);
            if let Some(next) = settings.vary_on.get(at + 1) {
                clear_values &= !value.contains(&format!(",{next}="));
            }
        }
        let key_len = text.len();
        if key_len > MAX_KEY {
            return Err(Unkeyed::TooLong);
        }
        text.push_str(&host);
        let names_credentials = settings.vary_on.contains(&AUTHORIZATION);
        Ok(Self {
            text,
            key_len,
            path,
            query,
            own,
            authorized: request.headers.contains_key(AUTHORIZATION)
                && !settings.authorized_by_key
                && !names_credentials,
            clear_values,
            sorts_languages: settings.sort_languages,
        })
    }

    pub(crate) fn key(&self) -> &str {
        &self.text[..self.key_len]
    }

    /// In lower case; empty if the request has none.
    pub(crate) fn host(&self) -> &str {
        &self.text[self.key_len..]
    }

    /// What the key function said.
    pub(crate) fn own(&self) -> Option<&str> {
        self.own.as_ref().map(|own| &self.text[own.clone()])
    }

    /// Whether the key's parts can only have come from this request.
    pub(crate) fn is_unambiguous(&self) -> bool {
        let colon = |part: &Range<usize>| self.text[part.clone()].contains(':');
        let parts = [Some(&self.path), Some(&self.query), self.own.as_ref()];
        self.clear_values && !parts.into_iter().flatten().any(colon)
    }

    fn path_and_query(&self) -> (&str, &str) {
        (
            &self.text[self.path.clone()],
            &self.text[self.query.clone()],
        )
    }

    /// Path and query, as the settings have them: unambiguous, as no path has a question mark in it.
    pub(crate) fn target(&self) -> String {
        self.target_parts().concat()
    }

    pub(crate) fn target_parts(&self) -> [&str; 3] {
        let (path, query) = self.path_and_query();
        [path, if query.is_empty() { "" } else { "?" }, query]
    }

    /// Whether this is the [`target`](Self::target).
    pub(crate) fn has_target(&self, target: &str) -> bool {
        let (path, query) = self.path_and_query();
        match target.strip_prefix(path) {
            Some("") => query.is_empty(),
            Some(rest) => !query.is_empty() && rest.strip_prefix('?') == Some(query),
            None => false,
        }
    }
}

/// Adds a part, and says where it is.
fn add(text: &mut String, part: &str) -> Range<usize> {
    text.push(':');
    let start = text.len();
    text.push_str(part);
    start..text.len()
}

/// The request's host: RFC 9110 §7.2.
fn host<'a>(
    original: &'a Uri,
    uri: &'a Uri,
    headers: &'a HeaderMap,
) -> Result<Cow<'a, str>, Unkeyed> {
    let text = match original.authority().or(uri.authority()) {
        Some(authority) => {
            let text = authority.as_str();
            text.rsplit_once('@').map_or(text, |(_, host)| host)
        }
        None => {
            let mut hosts = headers.get_all(HOST).iter();
            match (hosts.next(), hosts.next()) {
                (None, _) => "",
                (Some(host), None) => host.to_str().map_err(|_| Unkeyed::Host)?.trim(),
                _ => return Err(Unkeyed::Host),
            }
        }
    };
    Ok(match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(text.to_ascii_lowercase()),
        false => Cow::Borrowed(text),
    })
}

/// The first value as the key has it: bytes beyond ASCII as Latin-1.
fn first_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    match headers.get(name) {
        None => Cow::Borrowed(""),
        Some(value) => match value.to_str() {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(latin1(value.as_bytes())),
        },
    }
}

/// A text with one character for each byte: reversible, whatever the bytes are.
pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// How the query goes into the key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query {
    pub(crate) sorted: bool,
    pub(crate) allowed: Option<Vec<String>>,
}

impl Query {
    fn apply<'q>(&self, query: &'q str) -> Cow<'q, str> {
        if (!self.sorted && self.allowed.is_none()) || query.is_empty() {
            return Cow::Borrowed(query);
        }
        let name = |parameter: &&'q str| parameter.split('=').next().unwrap_or("");
        let allowed = |parameter: &&'q str| match &self.allowed {
            Some(allowed) => allowed.iter().any(|other| other == name(parameter)),
            None => true,
        };
        let mut parameters: Vec<&str> = query.split('&').filter(allowed).collect();
        if self.sorted {
            // By name only, and stable: the order of parameters of one name may mean something.
            parameters.sort_by_key(name);
        }
        Cow::Owned(parameters.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_sorted_by_name_and_keep_doubles() {
        let sorted = Query {
            sorted: true,
            allowed: None,
        };
        assert_eq!(sorted.apply("b=2&a=9&a=1&c"), "a=9&a=1&b=2&c");
        assert_eq!(sorted.apply(""), "");
        let some = Query {
            sorted: false,
            allowed: Some(vec!["page".into()]),
        };
        assert_eq!(some.apply("utm=1&page=2&pages=3&page=1"), "page=2&page=1");
    }
}
