//! How long a response's content is, as its head says: RFC 9110 §8.6 and §15.

use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{HeaderMap, StatusCode};

/// Whether responses with this status have no content: RFC 9110 §15.3.5 and §15.3.6.
pub(crate) fn is_without(status: StatusCode) -> bool {
    [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT].contains(&status)
}

/// The length that `Content-Length` says.
pub(crate) fn said_length(headers: &HeaderMap) -> Option<u64> {
    let length = headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Whether a body of this length is the whole one of a response with this status and these headers: not if it was cut short, or
/// is longer than they say.
pub(crate) fn is_whole(status: StatusCode, headers: &HeaderMap, length: usize) -> bool {
    let is_said = |value: &HeaderValue| {
        let digits = value.as_bytes();
        digits.iter().all(u8::is_ascii_digit)
            && value.to_str().is_ok_and(|text| text.parse() == Ok(length))
    };
    let may_be = length == 0 || !is_without(status);
    may_be && headers.get_all(CONTENT_LENGTH).iter().all(is_said)
}

/// Has headers that say a length say this one.
pub(crate) fn set_length(headers: &mut HeaderMap, length: usize) {
    if headers.contains_key(CONTENT_LENGTH) {
        // It replaces one, so there is room.
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_8_6_a_body_is_as_long_as_its_head_says() {
        let ok = StatusCode::OK;
        for (status, lengths, length, want) in [
            (ok, &[][..], 5, true),
            (ok, &["5"], 5, true),
            (ok, &["5", "5"], 5, true),
            (ok, &["5"], 4, false),
            (ok, &["5", "4"], 5, false),
            (ok, &["+5"], 5, false),
            (ok, &["x"], 5, false),
            (StatusCode::NO_CONTENT, &[], 5, false),
            (StatusCode::NO_CONTENT, &[], 0, true),
        ] {
            let mut headers = HeaderMap::new();
            for length in lengths {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            let is_it = is_whole(status, &headers, length);
            assert_eq!(is_it, want, "{status} {lengths:?} {length}");
        }
    }
}
