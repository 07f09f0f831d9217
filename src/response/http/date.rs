//! Dates: RFC 9110 §5.6.7.

use super::text::ShortText;
use crate::response::clock::UnixMillis;
use http::HeaderValue;
use httpdate::HttpDate;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time that a header's value names, in any of the three formats.
pub(crate) fn parse(value: &HeaderValue) -> Option<UnixMillis> {
    let time = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(UnixMillis::EPOCH.plus(since))
}

/// A time as a header's value. `None` from the year 10,000 on, for which there is no format.
pub(crate) fn format(time: UnixMillis) -> Option<HeaderValue> {
    if time >= UnixMillis::END {
        return None;
    }
    let since = Duration::from_millis(time.get());
    let time = SystemTime::UNIX_EPOCH.checked_add(since)?;
    Some(ShortText::of(HttpDate::from(time)).into_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_5_6_7_dates_up_to_the_last_one_there_is() {
        for (millis, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (253_402_300_799_000, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let time = UnixMillis::new(millis);
            assert_eq!(format(time).unwrap(), text);
            assert_eq!(parse(&HeaderValue::from_static(text)), Some(time));
        }
        assert_eq!(format(UnixMillis::END), None);
        assert_eq!(format(UnixMillis::MAX), None);
        for text in ["0", "", "yesterday"] {
            assert_eq!(parse(&HeaderValue::from_static(text)), None, "{text}");
        }
    }
}
