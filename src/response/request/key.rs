//! Which requests may share an entry.
//!
//! The key is the wire format's: `{prefix}:{path}:{query}`, with more parts on request, as they are. It is not unique: a colon may stand in
//! each part, and the host is not in it. So the key only says where to look; every entry records what it was made for, as
//! [`Asked`] names it, and answers nothing else.
//!
//! The path is the one that the client sent. Where the service sees another, because a router has taken off its own part or
//! something has rewritten it, entries record both: who sees something else answers something else.

use super::original;
use crate::response::request::authority;
use crate::response::settings::{Rules, Settings};
use crate::response::storage::own_keys;
use http::header::{AUTHORIZATION, HeaderName};
use http::request::Parts;
use http::{HeaderMap, Uri};
use std::borrow::Cow;
use std::ops::Range;

/// Longer keys are not stored.
pub(crate) const MAX_KEY: usize = 4 * 1024;

/// What a request asks for, as far as entries tell requests apart. One text holds the signpost's key, which ends with the
/// request's, and behind it the host and what the service sees.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Asked {
    text: String,
    key: Range<usize>,
    /// By which rules what is stored of it may be.
    pub(crate) rules: Rules,
    /// Where the host ends.
    host_end: usize,
    path: Range<usize>,
    query: Range<usize>,
    own: Option<Range<usize>>,
    /// Whether the request carries `Authorization`, and the settings do not say that the key tells callers apart.
    pub(crate) authorized: bool,
    /// Whether the values of `vary_on` can be told apart in the key, and the path is what the service sees.
    clear: bool,
    /// Whether the order of languages makes no difference.
    pub(crate) sorts_languages: bool,
}

/// Why a request has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unkeyed {
    /// More than one authority, or a text that is none.
    Host,
    /// The key would be too long.
    TooLong,
    /// A router may have shortened the path, and the whole one is not to be had.
    Shortened,
    /// Whether a parameter counts depends on who reads it.
    Query,
    /// The path does not begin with a slash.
    Path,
}

impl Asked {
    /// Whether the path is the one that the client sent, as far as that can be known of a request with a body `B`.
    pub(crate) fn knows_path<B: 'static>(
        settings: &Settings,
        request: &Parts,
    ) -> Result<(), Unkeyed> {
        let told = settings.original_uri.is_some() || original::uri(&request.extensions).is_some();
        match told || original::is_whole::<B>() {
            true => Ok(()),
            false => Err(Unkeyed::Shortened),
        }
    }

    pub(crate) fn new(settings: &Settings, request: &Parts) -> Result<Self, Unkeyed> {
        let seen = &request.uri;
        let uri = original_uri(settings, request).unwrap_or(seen);
        let host = authority::of(uri, seen, &request.headers).ok_or(Unkeyed::Host)?;
        let scheme = authority::scheme(uri, seen).ok_or(Unkeyed::Host)?;
        let path = uri.path();
        let query = in_key(settings, uri)?;
        let shown = shown(settings, uri, seen)?;
        let own = settings.key_fn.as_ref().map(|key_fn| key_fn(request));
        if !path.starts_with('/') {
            return Err(Unkeyed::Path);
        }
        let mut length = path.len() + query.len() + 2 * host.len() + scheme.len();
        length += own.as_ref().map_or(0, String::len) + shown.len();
        if length > MAX_KEY {
            return Err(Unkeyed::TooLong);
        }
        length += own_keys::SIGNPOST.len() + settings.key_prefix.len();
        let mut text = String::with_capacity(length + 5);
        text.push_str(own_keys::SIGNPOST);
        let key_start = text.len();
        text.extend([own_keys::before(&settings.key_prefix), &settings.key_prefix]);
        if settings.host_in_key {
            add(&mut text, &host);
        }
        let own = own.map(|own| add(&mut text, &own));
        let path = add(&mut text, path);
        let query = add(&mut text, &query);
        let mut clear = is_end(&shown, uri.path());
        for (at, name) in settings.vary_on.iter().enumerate() {
            let value = first_value(&request.headers, name);
            let start = if at == 0 { ":vary=" } else { "," };
            text.extend([start, name.as_str(), "=", &*value]);
            if let Some(next) = settings.vary_on.get(at + 1) {
                clear &= !value.contains(&format!(",{next}="));
            }
        }
        let key = key_start..text.len();
        if key.len() > MAX_KEY {
            return Err(Unkeyed::TooLong);
        }
        text.extend([scheme, &*host]);
        let host_end = text.len();
        text.push_str(&shown);
        let names_credentials = settings.vary_on.contains(&AUTHORIZATION);
        // With nothing of the caller in it, a key tells no callers apart, whatever the settings say.
        let by_key = settings.authorized_by_key
            && (settings.key_fn.is_some() || !settings.vary_on.is_empty());
        Ok(Self {
            text,
            key,
            rules: settings.rules(),
            host_end,
            path,
            query,
            own,
            authorized: request.headers.contains_key(AUTHORIZATION)
                && !by_key
                && !names_credentials,
            clear,
            sorts_languages: settings.sort_languages,
        })
    }

    pub(crate) fn key(&self) -> &str {
        &self.text[self.key.clone()]
    }

    /// Where the names of the headers lie that tell its variants apart.
    pub(crate) fn signpost_key(&self) -> &str {
        &self.text[..self.key.end]
    }

    /// In lower case, behind the scheme if the target has one; empty if the request has neither.
    pub(crate) fn host(&self) -> &str {
        &self.text[self.key.end..self.host_end]
    }

    /// What the key function said.
    pub(crate) fn own(&self) -> Option<&str> {
        self.own.as_ref().map(|own| &self.text[own.clone()])
    }

    /// Whether the key's parts can only have come from this request.
    pub(crate) fn is_unambiguous(&self) -> bool {
        let colon = |part: &Range<usize>| self.text[part.clone()].contains(':');
        let parts = [Some(&self.path), Some(&self.query), self.own.as_ref()];
        self.clear && !parts.into_iter().flatten().any(colon)
    }

    /// Path, query, and what the service sees if that is something else.
    fn parts(&self) -> (&str, &str, &str) {
        (
            &self.text[self.path.clone()],
            &self.text[self.query.clone()],
            &self.text[self.host_end..],
        )
    }

    /// Path and query, as the settings have them, and what the service sees: unambiguous, as no path has a question mark in it,
    /// and neither has a space.
    pub(crate) fn target(&self) -> String {
        let (path, query, shown) = self.parts();
        let mark = if query.is_empty() { "" } else { "?" };
        let space = if shown.is_empty() { "" } else { " " };
        [path, mark, query, space, shown].concat()
    }

    /// Whether this is the [`target`](Self::target).
    pub(crate) fn has_target(&self, target: &str) -> bool {
        let (path, query, shown) = self.parts();
        let Some(mut rest) = target.strip_prefix(path) else {
            return false;
        };
        for (mark, part) in [('?', query), (' ', shown)] {
            if part.is_empty() {
                continue;
            }
            match rest
                .strip_prefix(mark)
                .and_then(|rest| rest.strip_prefix(part))
            {
                Some(left) => rest = left,
                None => return false,
            }
        }
        rest.is_empty()
    }
}

/// The URI as the client sent it, if it is known to be another than the service sees.
pub(crate) fn original_uri<'r>(settings: &Settings, request: &'r Parts) -> Option<&'r Uri> {
    match settings.original_uri {
        Some(original) => original(&request.extensions),
        None => original::uri(&request.extensions),
    }
}

/// What the service sees, if it is not the original.
fn shown<'u>(
    settings: &Settings,
    original: &'u Uri,
    seen: &'u Uri,
) -> Result<Cow<'u, str>, Unkeyed> {
    if std::ptr::eq(original, seen) {
        return Ok(Cow::Borrowed(""));
    }
    let query = in_key(settings, seen)?;
    Ok(if query != in_key(settings, original)? {
        Cow::Owned(format!("{}?{query}", seen.path()))
    } else if seen.path() != original.path() {
        Cow::Borrowed(seen.path())
    } else {
        Cow::Borrowed("")
    })
}

/// A query as the settings have it.
fn in_key<'u>(settings: &Settings, uri: &'u Uri) -> Result<Cow<'u, str>, Unkeyed> {
    let query = uri.query().unwrap_or("");
    settings.query.apply(query).ok_or(Unkeyed::Query)
}

/// Whether what the service sees is what is left of a path when a router has taken off its own part.
fn is_end(shown: &str, path: &str) -> bool {
    shown == "/" || path.ends_with(shown)
}

/// Whether a type of request bodies is axum's, or made of it. The name is no promise of the compiler's; it is looked at only to
/// be careful.
pub(crate) fn is_of_axum(body: &str) -> bool {
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    // The first look is the one that most take.
    body.contains("axum")
        && body
            .split(|char| !is_name(char))
            .any(|name| name == "axum" || name == "axum_core")
}

/// Adds a part, and says where it is.
fn add(text: &mut String, part: &str) -> Range<usize> {
    text.push(':');
    let start = text.len();
    text.push_str(part);
    start..text.len()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_axum_are_recognised_by_their_names() {
        for (name, want) in [
            (std::any::type_name::<axum::body::Body>(), true),
            (
                "http_body_util::limited::Limited<axum_core::body::Body>",
                true,
            ),
            ("hyper::body::incoming::Incoming", false),
            ("my_axum_app::Body", false),
        ] {
            assert_eq!(is_of_axum(name), want, "{name}");
        }
    }
}
