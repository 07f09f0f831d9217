//! Validators, and when they match: RFC 9110 §8.8 and §13.

use super::date;
use http::header::{DATE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue};

/// Whether an entity tag is in a list, by weak comparison: RFC 9110 §13.1.2. Commas within tags are part of them.
pub(crate) fn any_matches(list: &[u8], etag: Option<&HeaderValue>) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag else {
        return false;
    };
    let etag = opaque_tag(etag.as_bytes());
    let mut rest = list;
    while let Some(start) = rest.iter().position(|&byte| byte == b'"') {
        let Some(length) = rest[start + 1..].iter().position(|&byte| byte == b'"') else {
            return false;
        };
        let end = start + length + 2;
        if rest[start..end] == *etag {
            return true;
        }
        rest = &rest[end..];
    }
    // Tags without quotes are against the rules, and common.
    list.split(|&byte| byte == b',')
        .any(|tag| opaque_tag(tag) == etag)
}

/// An entity tag without its mark of weakness: RFC 9110 §8.8.3.2.
fn opaque_tag(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a response has not been modified since the time that a request names: RFC 9110 §13.1.3. False if either time cannot
/// be read.
pub(crate) fn is_unmodified_since(since: &HeaderValue, headers: &HeaderMap) -> bool {
    let changed = headers.get(LAST_MODIFIED).or(headers.get(DATE));
    match (changed.and_then(date::parse), date::parse(since)) {
        (Some(changed), Some(since)) => changed <= since,
        _ => false,
    }
}

/// Whether the parts that a client has are of this very response: RFC 9110 §13.1.5.
pub(crate) fn if_range_holds(wanted: &HeaderValue, headers: &HeaderMap) -> bool {
    match headers.get(ETAG) {
        Some(etag) if wanted == etag => !etag.as_bytes().starts_with(b"W/"),
        // A date, and exactly this one.
        _ => date::parse(wanted).is_some() && headers.get(LAST_MODIFIED) == Some(wanted),
    }
}

/// Whether the validators of a 304 or of an answer to a HEAD are those of a stored response: RFC 9111 §4.3.3 and §4.3.5.
///
/// Tags are compared weakly, because some servers weaken those that they send with compressed bodies. A validator that is left
/// out says nothing, because many servers leave out in a 304 what they said before.
pub(crate) fn are_same(stored: &HeaderMap, fresh: &HeaderMap) -> bool {
    match (stored.get(ETAG), fresh.get(ETAG)) {
        (Some(stored), Some(fresh)) => {
            opaque_tag(stored.as_bytes()) == opaque_tag(fresh.as_bytes())
        }
        (None, Some(_)) => false,
        (_, None) => match (stored.get(LAST_MODIFIED), fresh.get(LAST_MODIFIED)) {
            (Some(stored), Some(fresh)) => stored == fresh,
            _ => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_13_1_2_entity_tags_compare_weakly() {
        let etag = HeaderValue::from_static("W/\"a,b\"");
        for (list, want) in [
            ("\"a,b\"", true),
            ("\"x\", W/\"a,b\"", true),
            ("*", true),
            ("\"a\", \"b\"", false),
            ("\"a,b", false),
        ] {
            assert_eq!(any_matches(list.as_bytes(), Some(&etag)), want, "{list}");
        }
        assert!(!any_matches(b"\"a\"", None));
    }

    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn rfc9110_13_1_3_dates_are_compared_as_times() {
        for (since, lines, want) in [
            (EARLIER, &[("last-modified", EARLIER)][..], true),
            (LATER, &[("last-modified", EARLIER)], true),
            (EARLIER, &[("last-modified", LATER)], false),
            (EARLIER, &[("date", EARLIER)], true),
            (EARLIER, &[("last-modified", "x"), ("date", EARLIER)], false),
            (EARLIER, &[], false),
            ("x", &[("last-modified", EARLIER)], false),
        ] {
            let value = HeaderValue::from_static(since);
            let is_it = is_unmodified_since(&value, &headers(lines));
            assert_eq!(is_it, want, "{since} {lines:?}");
        }
    }

    #[test]
    fn rfc9110_13_1_5_parts_have_to_be_of_this_very_response() {
        for (wanted, lines, want) in [
            ("\"e\"", &[("etag", "\"e\"")][..], true),
            ("W/\"e\"", &[("etag", "W/\"e\"")], false),
            ("\"e\"", &[("etag", "\"f\"")], false),
            ("\"e\"", &[], false),
            (EARLIER, &[("last-modified", EARLIER)], true),
            (LATER, &[("last-modified", EARLIER)], false),
            ("x", &[("last-modified", "x")], false),
        ] {
            let value = HeaderValue::from_static(wanted);
            let holds = if_range_holds(&value, &headers(lines));
            assert_eq!(holds, want, "{wanted} {lines:?}");
        }
    }

    #[test]
    fn rfc9111_4_3_3_a_304_is_about_the_response_with_its_validators() {
        let (e, weak_e, f) = (("etag", "\"e\""), ("etag", "W/\"e\""), ("etag", "\"f\""));
        let (earlier, later) = (("last-modified", EARLIER), ("last-modified", LATER));
        for (stored, fresh, want) in [
            (&[e][..], &[weak_e][..], true),
            (&[e], &[f], false),
            (&[], &[e], false),
            (&[e], &[], true),
            (&[earlier], &[earlier], true),
            (&[earlier], &[later], false),
            (&[e, earlier], &[e, later], true),
            (&[e, earlier], &[later], false),
            (&[], &[], true),
        ] {
            let is_it = are_same(&headers(stored), &headers(fresh));
            assert_eq!(is_it, want, "{stored:?} {fresh:?}");
        }
    }
}
