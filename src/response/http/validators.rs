//! Validators, and when they match: RFC 9110 §8.8 and §13.

use http::HeaderValue;

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
pub(crate) fn opaque_tag(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
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
}
