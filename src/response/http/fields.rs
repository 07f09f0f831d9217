//! Which fields of a response a cache stores: RFC 9111 §3.1 and RFC 9110 §7.6.1.

use http::HeaderMap;
use http::header::{
    AGE, CONNECTION, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SET_COOKIE,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Whether a field belongs to one connection, to one client or to one answer. Such a field is never stored, whatever `Connection`
/// says.
pub(crate) fn is_never_stored(name: &HeaderName) -> bool {
    let others = [
        "keep-alive",
        "proxy-authentication-info",
        "proxy-connection",
        "set-cookie2",
    ];
    match *name {
        AGE | CONNECTION | SET_COOKIE | TE | TRAILER | TRANSFER_ENCODING | UPGRADE => true,
        PROXY_AUTHENTICATE | PROXY_AUTHORIZATION => true,
        _ => others.contains(&name.as_str()),
    }
}

/// The fields of a response that are stored. `None` if they are more than a map holds.
pub(crate) fn stored(headers: &HeaderMap) -> Option<HeaderMap> {
    // With room for the three that a stored response gets: `Date`, `Age` and `Cache-Status`.
    let mut kept = HeaderMap::try_with_capacity(headers.keys_len() + 3).ok()?;
    for (name, value) in headers {
        if !is_never_stored(name) {
            kept.try_append(name.clone(), value.clone()).ok()?;
        }
    }
    for line in headers.get_all(CONNECTION) {
        for name in line.as_bytes().split(|&byte| byte == b',') {
            if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
                kept.remove(name);
            }
        }
    }
    Some(kept)
}

/// Whether a `Connection` names fields beside those that belong to one connection anyway, or is not a list of names.
pub(crate) fn names_others(connection: &HeaderValue) -> bool {
    let known = [
        &b""[..],
        b"close",
        b"keep-alive",
        b"te",
        b"upgrade",
        b"http2-settings",
    ];
    let mut names = connection.as_bytes().split(|&byte| byte == b',');
    names.any(|name| {
        let name = name.trim_ascii();
        !known.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_7_6_1_what_connection_names_is_not_stored() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-kept", "1"),
            ("x-hop", "1"),
            ("connection", "close, X-Hop"),
            ("connection", "?"),
            ("keep-alive", "timeout=5"),
            ("set-cookie", "a=1"),
            ("age", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let kept = stored(&headers).unwrap();
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["x-kept"]);
    }

    #[test]
    fn fields_of_one_connection_may_be_named_by_all() {
        for (connection, want) in [
            ("", false),
            ("close", false),
            ("Keep-Alive, TE ,upgrade", false),
            ("close, x-user", true),
            ("authorization", true),
            ("close;x", true),
        ] {
            let value = HeaderValue::from_static(connection);
            assert_eq!(names_others(&value), want, "{connection}");
        }
    }
}
