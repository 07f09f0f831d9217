//! Ranges of bytes: RFC 9110 §14.

use std::ops::RangeInclusive;

/// A range that lies in no part of the representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsatisfiable;

/// A single range of a representation that is `length` bytes long: RFC 9110 §14.1.2. `None` for what is better answered in full:
/// several ranges, other units, nonsense.
pub(crate) fn parse(
    range: &str,
    length: u64,
) -> Option<Result<RangeInclusive<u64>, Unsatisfiable>> {
    let (unit, range) = range.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || range.contains(',') {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        if suffix == 0 || length == 0 {
            return Some(Err(Unsatisfiable));
        }
        return Some(Ok(length.saturating_sub(suffix)..=length - 1));
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    if first >= length {
        return Some(Err(Unsatisfiable));
    }
    Some(Ok(first..=last.min(length - 1)))
}

fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large for 64 bits lies beyond any body.
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9110_14_1_2_single_ranges() {
        for (range, want) in [
            ("bytes=0-4", Some(Ok(0..=4))),
            ("bytes=5-", Some(Ok(5..=9))),
            ("bytes=-3", Some(Ok(7..=9))),
            ("bytes=-99", Some(Ok(0..=9))),
            ("Bytes = 2-99999999999999999999999", Some(Ok(2..=9))),
            ("bytes=10-", Some(Err(Unsatisfiable))),
            ("bytes=-0", Some(Err(Unsatisfiable))),
            ("bytes=3-2", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("lines=0-1", None),
            ("bytes=-", None),
            ("bytes", None),
        ] {
            assert_eq!(parse(range, 10), want, "{range}");
        }
        assert_eq!(parse("bytes=-1", 0), Some(Err(Unsatisfiable)));
        assert_eq!(parse("bytes=0-", 0), Some(Err(Unsatisfiable)));
    }
}
