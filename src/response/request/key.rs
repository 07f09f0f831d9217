//! [`Key`]: which requests may share a stored response.
//!
//! The key is the wire format's: `{prefix}:{path}:{query}`, with more parts on request, each written as it was sent. It is not
//! unique: a colon may stand in each part, and the host is not in it. So the key only says where to look. Every stored response
//! records what it was made for, in all the parts that [`Key`] names, and answers nothing else.
//!
//! The path is the one that the client sent. Where the service sees another one, because a router has taken off its own part or
//! something has rewritten it, stored responses record both: who sees something else answers something else.
//!
//! # Keys of the cache's own
//! The storage keeps more than responses, under keys that no request has. A key that begins with `#` is one of them, unless it
//! begins with `##`: a prefix that begins with `#` is written with another one before it. And a request's key has a slash in it,
//! because its path begins with one.

use super::authority;
use super::bypass::Bypass;
use super::key_settings::KeySettings;
use super::original;
use crate::response::policy::settings::Rules;
use http::header::HeaderName;
use http::request::Parts;
use http::{HeaderMap, Uri};
use std::borrow::Cow;
use std::ops::Range;

/// Requests with longer keys are passed through.
const MAX_KEY: usize = 4 * 1024;

/// What a request's key is preceded by in the key of its signpost.
const SIGNPOST: &str = "#variants:";

/// What a prefix is preceded by in a request's key.
fn escape(prefix: &str) -> &'static str {
    if prefix.starts_with('#') { "#" } else { "" }
}

/// Whether a key may be a request's.
pub(crate) fn may_be_requested(key: &str) -> bool {
    (!key.starts_with('#') || key.starts_with("##")) && key.contains('/')
}

/// Where the signpost of a key lies.
pub(crate) fn signpost_of(key: &str) -> String {
    [SIGNPOST, key].concat()
}

/// What a request asks for, as far as stored responses tell requests apart. One text holds the signpost's key, which ends with the
/// request's, and behind it the host and what the service sees.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Key {
    text: String,
    key: Range<usize>,
    /// The rules by which responses to it are stored.
    pub(crate) rules: Rules,
    /// Where the host ends.
    host_end: usize,
    path: Range<usize>,
    query: Range<usize>,
    own: Option<Range<usize>>,
    /// How many fields of the request are in the key.
    pub(crate) fields: usize,
    /// Whether the values of `vary_on` can be told apart in the key, and the path is what the service sees.
    clear: bool,
    /// Whether the order of languages makes no difference.
    pub(crate) sorts_languages: bool,
}

impl Key {
    /// The key of a request with a body `B`.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn of<B: 'static>(
        settings: &KeySettings,
        rules: Rules,
        request: &Parts,
    ) -> Result<Self, Bypass> {
        let is_told =
            settings.original_uri.is_some() || original::uri(&request.extensions).is_some();
        if !is_told && !original::is_whole::<B>() {
            return Err(Bypass::OriginalUriUnknown);
        }
        Self::of_whole(settings, rules, request)
    }

    /// The key of a request of which the whole path is known.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn of_whole(
        settings: &KeySettings,
        rules: Rules,
        request: &Parts,
    ) -> Result<Self, Bypass> {
        // 1. Read the request.
        let seen = &request.uri;
        let uri = original_uri(settings, request).unwrap_or(seen);
        let host = authority::of(uri, seen, &request.headers).ok_or(Bypass::Host)?;
        let scheme = authority::scheme(uri, seen).ok_or(Bypass::Host)?;
        let path = uri.path();
        let query = in_key(settings, uri)?;
        let shown = shown(settings, uri, seen)?;
        let own = settings.key_fn.as_ref().map(|key_fn| key_fn(request));
        if !path.starts_with('/') {
            return Err(Bypass::Path);
        }
        // 2. Write the key, behind what makes it the key of its signpost.
        let mut length = path.len() + query.len() + 2 * host.len() + scheme.len();
        length += own.as_ref().map_or(0, String::len) + shown.len();
        if length > MAX_KEY {
            return Err(Bypass::KeyTooLong);
        }
        length += SIGNPOST.len() + settings.prefix.len();
        let mut text = String::with_capacity(length + 5);
        text.push_str(SIGNPOST);
        let key_start = text.len();
        text.extend([escape(&settings.prefix), &settings.prefix]);
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
            return Err(Bypass::KeyTooLong);
        }
        // 3. Write what is not in the key.
        text.extend([scheme, &*host]);
        let host_end = text.len();
        text.push_str(&shown);
        Ok(Self {
            text,
            key,
            rules,
            host_end,
            path,
            query,
            own,
            fields: settings.vary_on.len(),
            clear,
            sorts_languages: settings.sort_languages,
        })
    }

    /// Where a response to it lies.
    #[inline]
    pub(crate) fn as_str(&self) -> &str {
        &self.text[self.key.clone()]
    }

    /// Where the names of the fields lie that tell the variants of this key apart.
    pub(crate) fn signpost(&self) -> &str {
        &self.text[..self.key.end]
    }

    /// The host in lower case, behind the scheme if the target has one; empty if the request has neither.
    pub(crate) fn host(&self) -> &str {
        &self.text[self.key.end..self.host_end]
    }

    /// What the key function said.
    pub(crate) fn own(&self) -> Option<&str> {
        self.own.as_ref().map(|own| &self.text[own.clone()])
    }

    /// Whether the key can be taken apart in one way only, so that no request for another resource of the host has the same one.
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

    /// Path and query in the form that the settings ask for, and what the service sees. This is unambiguous, because no path has a
    /// question mark in it, and neither part has a space.
    pub(crate) fn target(&self) -> String {
        let (path, query, shown) = self.parts();
        let mark = if query.is_empty() { "" } else { "?" };
        let space = if shown.is_empty() { "" } else { " " };
        [path, mark, query, space, shown].concat()
    }

    /// Whether this is the [`target`](Self::target).
    #[inline]
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

/// The URI as the client sent it, if it is known and may differ from what the service sees.
pub(crate) fn original_uri<'r>(settings: &KeySettings, request: &'r Parts) -> Option<&'r Uri> {
    match settings.original_uri {
        Some(original) => original(&request.extensions),
        None => original::uri(&request.extensions),
    }
}

/// What the service sees, if it is not the original.
fn shown<'u>(
    settings: &KeySettings,
    original: &'u Uri,
    seen: &'u Uri,
) -> Result<Cow<'u, str>, Bypass> {
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

/// A query in the form that the settings ask for.
fn in_key<'u>(settings: &KeySettings, uri: &'u Uri) -> Result<Cow<'u, str>, Bypass> {
    let query = uri.query().unwrap_or("");
    settings.query.apply(query).ok_or(Bypass::Query)
}

/// Whether what the service sees is the rest of a path, from which a router has taken off its own part.
fn is_end(shown: &str, path: &str) -> bool {
    shown == "/" || path.ends_with(shown)
}

/// Adds a part, and says where it is.
fn add(text: &mut String, part: &str) -> Range<usize> {
    text.push(':');
    let start = text.len();
    text.push_str(part);
    start..text.len()
}

/// The first value of a field, as it stands in the key: bytes beyond ASCII as Latin-1.
fn first_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, str> {
    match headers.get(name) {
        None => Cow::Borrowed(""),
        Some(value) => match value.to_str() {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(latin1(value.as_bytes())),
        },
    }
}

/// A text with one character for each byte, from which the bytes can be told again.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
