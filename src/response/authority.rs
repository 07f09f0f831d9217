//! The authority that a request is for: RFC 9110 §7.2.
//!
//! It may stand in the request's target, in `Host`, or in both, and handlers look at either. So all that name one have to name
//! the same: a request that names two is neither answered from the cache nor stored (RFC 9112 §3.2.2, RFC 9113 §8.3.1), nor is
//! one with a text in such a place that is not a host and perhaps a port. Nothing but case is made equal, so a default port
//! that is said and one that is not are two.

use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderMap, Uri};
use std::borrow::Cow;

/// In lower case; empty if the request names none. `None` if it names several, or what is none.
pub(crate) fn of<'r>(
    original: &'r Uri,
    seen: &'r Uri,
    headers: &'r HeaderMap,
) -> Option<Cow<'r, str>> {
    let mut named: Option<&'r [u8]> = None;
    let mut agrees = |text: &'r [u8]| match named {
        None => {
            named = Some(text);
            is_authority(text)
        }
        Some(other) => other.eq_ignore_ascii_case(text),
    };
    let targets = [
        Some(original),
        Some(seen).filter(|seen| !std::ptr::eq(*seen, original)),
    ];
    for target in targets.into_iter().flatten() {
        let authority = target.authority().map(|authority| authority.as_str());
        if !has_known_scheme(target) || !authority.is_none_or(|text| agrees(text.as_bytes())) {
            return None;
        }
    }
    let mut hosts = headers.get_all(HOST).iter();
    if let Some(host) = hosts.next()
        && (!agrees(host.as_bytes()) || hosts.next().is_some())
    {
        return None;
    }
    // An authority is ASCII.
    let text = std::str::from_utf8(named.unwrap_or_default()).ok()?;
    Some(if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    })
}

/// What is asked for by another scheme is another resource.
fn has_known_scheme(target: &Uri) -> bool {
    let scheme = target.scheme();
    scheme.is_none_or(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))
}

/// Whether a text is a host, as names in the DNS and addresses are written, and perhaps a port. There are stranger ones, and
/// readers that see something else in them.
fn is_authority(text: &[u8]) -> bool {
    let host_end = if let Some(literal) = text.strip_prefix(b"[") {
        let end = literal.iter().position(|&byte| byte == b']');
        let is_part = |byte: &u8| byte.is_ascii_hexdigit() || b":.".contains(byte);
        end.filter(|&end| end > 1 && literal[..end].iter().all(is_part))
            .map_or(0, |end| end + 2)
    } else {
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
        let end = text.iter().position(|byte| !is_part(byte));
        end.unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(host_end);
    !host.is_empty() && (rest.is_empty() || is_port(rest))
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
            assert!(is_authority(good.as_bytes()), "{good}");
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
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }
}
