//! The authority that a request is for: RFC 9110 §7.2.
//!
//! It may stand in the request's target, in `Host`, or in both, and handlers look at either. So all of them have to name the same:
//! a request that names two authorities is neither answered from the cache nor stored (RFC 9112 §3.2.2, RFC 9113 §8.3.1). Nor is a
//! request that has something else there than a host, with or without a port. Only case is ignored, so an authority with the
//! default port and one without a port are different.

use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, Uri};
use std::borrow::Cow;

/// The authority in lower case; empty if the request names none. `None` if it names several, or something that is none.
pub(crate) fn of<'r>(
    original: &'r Uri,
    seen: &'r Uri,
    headers: &'r HeaderMap,
) -> Option<Cow<'r, str>> {
    let mut named = None;
    add_target(&mut named, original)?;
    if !std::ptr::eq(original, seen) {
        add_target(&mut named, seen)?;
    }
    let mut hosts = headers.get_all(HOST).iter();
    if let Some(host) = hosts.next() {
        add(&mut named, host.to_str().ok()?)?;
        if hosts.next().is_some() {
            return None;
        }
    }
    let Some(text) = named else {
        return Some(Cow::Borrowed(""));
    };
    Some(if read(text)?.has_upper_case {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    })
}

fn add_target<'r>(named: &mut Option<&'r str>, target: &'r Uri) -> Option<()> {
    match target.authority() {
        Some(authority) if has_known_scheme(target) => add(named, authority.as_str()),
        Some(_) => None,
        None => Some(()),
    }
}

/// Adds what was found in one place. `None` if it is not what was named before.
fn add<'r>(named: &mut Option<&'r str>, text: &'r str) -> Option<()> {
    let first = *named.get_or_insert(text);
    // Nearly always there is only one.
    (std::ptr::eq(first, text) || first.eq_ignore_ascii_case(text)).then_some(())
}

/// Whether a target has no scheme, or one of HTTP's. With another scheme it is another resource.
fn has_known_scheme(target: &Uri) -> bool {
    let scheme = target.scheme();
    scheme.is_none_or(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))
}

/// What stands before the authority in the target; empty if it has no scheme. `None` if the scheme is not HTTP's, or if the
/// original has another one than what the service sees.
pub(crate) fn scheme(original: &Uri, seen: &Uri) -> Option<&'static str> {
    let of = |target: &Uri| match target.scheme() {
        None => Some(""),
        Some(scheme) if *scheme == Scheme::HTTP => Some("http://"),
        Some(scheme) if *scheme == Scheme::HTTPS => Some("https://"),
        Some(_) => None,
    };
    let seen_by_handler = of(seen)?;
    if std::ptr::eq(original, seen) {
        return Some(seen_by_handler);
    }
    match (of(original)?, seen_by_handler) {
        ("", scheme) | (scheme, "") => Some(scheme),
        (original, seen) => (original == seen).then_some(seen),
    }
}

/// The kinds of bytes in a name. They are looked up in a table, because every request has a name.
const OTHER: u8 = 0;
const LOWER: u8 = 1;
const UPPER: u8 = 2;

const KINDS: [u8; 256] = {
    let mut kinds = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        kinds[byte] = match byte as u8 {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => LOWER,
            b'A'..=b'Z' => UPPER,
            _ => OTHER,
        };
        byte += 1;
    }
    kinds
};

struct Authority {
    has_upper_case: bool,
}

/// Reads a host, in the form of a DNS name or an address, with or without a port. RFC 3986 allows stranger hosts, in which readers
/// see different things.
fn read(text: &str) -> Option<Authority> {
    let mut seen = 0;
    let is_other = |byte: u8| {
        let kind = KINDS[usize::from(byte)];
        seen |= kind;
        kind == OTHER
    };
    let end = text.bytes().position(is_other);
    let has_upper_case = seen & UPPER == UPPER;
    match end {
        None if text.is_empty() => None,
        None => Some(Authority { has_upper_case }),
        Some(0) => is_literal(text).then_some(Authority {
            has_upper_case: true,
        }),
        Some(end) => is_port(&text.as_bytes()[end..]).then_some(Authority { has_upper_case }),
    }
}

/// Whether a text is an address in brackets, with or without a port.
fn is_literal(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    inside.is_some_and(|(address, rest)| {
        let is_part = |byte: u8| byte.is_ascii_hexdigit() || b":.".contains(&byte);
        !address.is_empty()
            && address.bytes().all(is_part)
            && (rest.is_empty() || is_port(rest.as_bytes()))
    })
}

fn is_port(text: &[u8]) -> bool {
    let Some(digits) = text.strip_prefix(b":") else {
        return false;
    };
    let number = std::str::from_utf8(digits).map(str::parse::<u16>);
    digits.iter().all(u8::is_ascii_digit) && matches!(number, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_hosts_and_ports() {
        for good in [
            "a",
            "a.example",
            "A-b_c.example.",
            "192.0.2.1:80",
            "[::1]",
            "[2001:db8::192.0.2.1]:65535",
        ] {
            assert!(read(good).is_some(), "{good}");
        }
        for bad in [
            "",
            ":",
            ":80",
            "a:",
            "a:x",
            "a:65536",
            "a:+80",
            "[",
            "[]",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[fe80::1%25eth0]",
            "::1",
            "a b",
            "a,b",
            "a@b",
            "a/b",
            "a%2e",
            "a!",
            "\u{e4}.example",
        ] {
            assert!(read(bad).is_none(), "{bad}");
        }
    }
}
